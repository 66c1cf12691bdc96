// One install or build at a time: a lock file, taken over when its owner is gone.
import { closeSync, mkdirSync, openSync, readFileSync, rmSync, statSync, writeSync } from "node:fs";
import { dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

/** How long to wait for another process's install or build, in milliseconds. */
const PATIENCE_MS = 10 * 60_000;
/** When to say that we wait, in milliseconds. */
const ANNOUNCE_MS = 1_000;
/** A lock without an owner's name is being written right now, unless it is older than this. */
const NAMELESS_MS = 5_000;

/**
 * Runs `work` while holding `lockFile`.
 *
 * @template T
 * @param {string} lockFile
 * @param {() => Promise<T>} work
 * @param {number} [patienceMs]
 * @returns {Promise<T>}
 * @throws {Error} When another process holds it for longer than `patienceMs`.
 */
export async function withLock(lockFile, work, patienceMs = PATIENCE_MS) {
  const giveUpAt = Date.now() + patienceMs;
  const me = `${process.pid} ${startOf(process.pid)}`;
  mkdirSync(dirname(lockFile), { recursive: true });
  let announced = false;
  while (!tryTake(lockFile, me)) {
    if (isStale(lockFile)) takeAway(lockFile);
    else if (Date.now() >= giveUpAt)
      throw new Error(`${textOf(lockFile)} has held ${lockFile} for too long; end it, or remove that file`);
    else {
      // A short wait is not worth a word.
      if (!announced && Date.now() > giveUpAt - patienceMs + ANNOUNCE_MS) {
        announced = true;
        console.error(`· waiting for ${textOf(lockFile)}, which installs or builds`);
      }
      await sleep(100);
    }
  }
  try {
    return await work();
  } finally {
    if (read(lockFile) === me) rmSync(lockFile, { force: true });
  }
}

/**
 * @param {string} lockFile
 * @param {string} me
 */
function tryTake(lockFile, me) {
  try {
    const file = openSync(lockFile, "wx");
    writeSync(file, me);
    closeSync(file);
    return true;
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code === "EEXIST") return false;
    throw error;
  }
}

// Two that find the same dead owner must not both remove the lock: the second would remove the first one's.
/** @param {string} lockFile */
function takeAway(lockFile) {
  const guard = `${lockFile}.takeover`;
  try {
    mkdirSync(guard);
  } catch {
    if (ageOf(guard) > NAMELESS_MS) rmSync(guard, { recursive: true, force: true });
    return;
  }
  if (isStale(lockFile)) rmSync(lockFile, { force: true });
  rmSync(guard, { recursive: true, force: true });
}

/** @param {string} lockFile */
function isStale(lockFile) {
  const owner = read(lockFile);
  if (owner === undefined) return false;
  const [pid = "", start = ""] = owner.split(" ");
  if (pid === "") return ageOf(lockFile) > NAMELESS_MS;
  // The same number with another start is another process: numbers are used again, in containers at once.
  return !isAlive(Number(pid)) || startOf(Number(pid)) !== start;
}

/** @param {string} lockFile */
function textOf(lockFile) {
  return `process ${read(lockFile)?.split(" ")[0] ?? "(gone)"}`;
}

/** @param {string} file */
function read(file) {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return undefined;
  }
}

/** @param {string} path - Age in milliseconds, 0 when there is no such thing. */
function ageOf(path) {
  try {
    return Date.now() - statSync(path).mtimeMs;
  } catch {
    return 0;
  }
}

/** @param {number} pid */
function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return /** @type {NodeJS.ErrnoException} */ (error).code === "EPERM";
  }
}

/** When a process started, in clock ticks since boot; empty where there is no /proc. @param {number} pid */
function startOf(pid) {
  const stat = read(`/proc/${pid}/stat`) ?? "";
  return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? "";
}
