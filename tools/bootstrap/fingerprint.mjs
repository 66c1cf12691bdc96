// Content hashes that tell whether an install or a build is still current.
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

/** What no build reads: folders that are made, and tests. */
const LEFT_OUT = new Set(["node_modules", "dist", "test", "coverage", "out"]);

/**
 * A hash over the names and contents of files and folders.
 *
 * @param {readonly string[]} paths - Those that do not exist count as empty.
 * @param {string} [also] - Anything else that must not change.
 * @returns {string}
 */
export function fingerprint(paths, also = "") {
  const hash = createHash("sha256").update(`${process.version} ${process.platform} ${process.arch} ${also}`);
  for (const path of paths) addTo(hash, path);
  return hash.digest("hex");
}

/**
 * @param {string} stampFile
 * @param {string} print
 * @returns {boolean} Whether the stamp says this very fingerprint.
 */
export function isStamped(stampFile, print) {
  return existsSync(stampFile) && readFileSync(stampFile, "utf8") === print;
}

/**
 * Runs `work` and stamps its success. While it runs, and if it fails, there is no stamp.
 *
 * @param {string} stampFile
 * @param {string} print
 * @param {() => Promise<void>} work
 */
export async function stamped(stampFile, print, work) {
  rmSync(stampFile, { force: true });
  await work();
  mkdirSync(dirname(stampFile), { recursive: true });
  writeFileSync(stampFile, print);
}

/**
 * @param {import("node:crypto").Hash} hash
 * @param {string} path
 */
function addTo(hash, path) {
  if (!existsSync(path)) return;
  if (statSync(path).isDirectory()) {
    for (const entry of readdirSync(path).sort()) if (isInput(entry)) addTo(hash, join(path, entry));
    return;
  }
  const content = readFileSync(path);
  hash.update(`${path}\0${content.length}\0`).update(content);
}

/** @param {string} entry */
function isInput(entry) {
  return !LEFT_OUT.has(entry) && !entry.endsWith(".md");
}
