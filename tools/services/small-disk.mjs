// A disk of a few MiB, in memory, that a test can fill: what is written then fails with a real ENOSPC.
import { spawnSync } from "node:child_process";
import {
  chownSync,
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  rmSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/**
 * @typedef {object} SmallDisk
 * @property {() => void} fill - Leaves no byte of it free.
 * @property {() => void} free - Gives back what `fill` has taken.
 */

/** Bytes at a time; the last ones one by one. */
const CHUNKS = [1 << 20, 4_096, 1];

/** Whether `mountSmallDisk` works here: it needs root, and a container that may mount. */
export function canMountDisks() {
  if (process.platform !== "linux" || process.getuid?.() !== 0) return false;
  const folder = mkdtempSync(join(tmpdir(), "holdfast-disk-"));
  const mounted = run("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder);
  if (mounted) run("umount", folder);
  rmSync(folder, { recursive: true });
  return mounted;
}

/**
 * Mounts one.
 *
 * @param {string} folder - Made; empty then.
 * @param {number} mebibytes
 * @param {{ uid: number, gid: number } | undefined} owner
 * @returns {SmallDisk & { readonly unmount: () => void }}
 * @throws {Error} When it cannot be mounted.
 */
export function mountSmallDisk(folder, mebibytes, owner) {
  mkdirSync(folder);
  if (!run("mount", "-t", "tmpfs", "-o", `size=${mebibytes}m,mode=700`, "tmpfs", folder))
    throw new Error(`cannot mount a disk on ${folder}: that needs root`);
  if (owner !== undefined) chownSync(folder, owner.uid, owner.gid);
  const ballast = join(folder, "ballast");
  return {
    fill: () => fillWith(ballast),
    free: () => rmSync(ballast, { force: true }),
    unmount: () => existsSync(folder) && run("umount", folder),
  };
}

/** @param {string} ballast */
function fillWith(ballast) {
  const file = openSync(ballast, "a");
  try {
    for (const size of CHUNKS) {
      const chunk = Buffer.alloc(size);
      while (fits(file, chunk));
    }
  } finally {
    closeSync(file);
  }
}

/**
 * @param {number} file
 * @param {Buffer} chunk
 */
function fits(file, chunk) {
  try {
    return writeSync(file, chunk) > 0;
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code !== "ENOSPC") throw error;
    return false;
  }
}

/**
 * @param {string} program
 * @param {string[]} args
 */
function run(program, ...args) {
  return spawnSync(program, args, { stdio: "ignore" }).status === 0;
}
