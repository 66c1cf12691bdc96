// Content hashes that tell whether an install or a build is still current.
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

/** Folders that are made, not written. */
const MADE = new Set(["node_modules", "dist", "test", "out"]);

/**
 * A hash over the names and contents of files and folders.
 *
 * @param {readonly string[]} paths - Those that do not exist count as empty.
 * @param {string} [also] - Anything else that must not change.
 * @returns {string}
 */
export function fingerprint(paths, also = process.version) {
  const hash = createHash("sha256").update(also);
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
 * @param {string} stampFile
 * @param {string} print
 */
export function stamp(stampFile, print) {
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
    for (const entry of readdirSync(path).sort()) if (!MADE.has(entry)) addTo(hash, join(path, entry));
    return;
  }
  hash.update(path).update("\0").update(readFileSync(path));
}
