// One install or build at a time: a lock file, taken over when its owner is gone.
import { closeSync, mkdirSync, openSync, readFileSync, rmSync, writeSync } from "node:fs";
import { dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

/** How long to wait for another process's install or build, in milliseconds. */
const PATIENCE_MS = 10 * 60_000;

/**
 * Runs `work` while holding `lockFile`.
 *
 * @template T
 * @param {string} lockFile
 * @param {() => Promise<T>} work
 * @returns {Promise<T>}
 */
export async function withLock(lockFile, work) {
  const giveUpAt = Date.now() + PATIENCE_MS;
  mkdirSync(dirname(lockFile), { recursive: true });
  while (!tryTake(lockFile)) {
    if (!isAlive(ownerOf(lockFile))) rmSync(lockFile, { force: true });
    else if (Date.now() > giveUpAt)
      throw new Error(`process ${ownerOf(lockFile)} has held ${lockFile} for too long`);
    else await sleep(200);
  }
  try {
    return await work();
  } finally {
    rmSync(lockFile, { force: true });
  }
}

/** @param {string} lockFile */
function tryTake(lockFile) {
  try {
    const file = openSync(lockFile, "wx");
    writeSync(file, String(process.pid));
    closeSync(file);
    return true;
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code === "EEXIST") return false;
    throw error;
  }
}

/** @param {string} lockFile */
function ownerOf(lockFile) {
  try {
    return Number(readFileSync(lockFile, "utf8"));
  } catch {
    return 0;
  }
}

/** @param {number} pid - 0 when the owner has not written its name yet, or has just left. */
function isAlive(pid) {
  if (pid === 0) return true;
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
