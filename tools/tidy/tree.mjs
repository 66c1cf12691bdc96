// The files that a check looks at: those of a repository on disk, or those a test made up.
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import ts from "typescript";

/**
 * @typedef {object} Tree
 * @property {readonly string[]} files - Paths from the root, with slashes.
 * @property {(file: string) => boolean} has
 * @property {(file: string) => string} text
 * @property {(file: string) => ts.SourceFile} source - Parsed once.
 * @property {(file: string) => any} json
 */

/**
 * @typedef {object} Violation
 * @property {string} file
 * @property {number} [line]
 * @property {string} message
 * @property {boolean} [warning] - Printed, but does not fail the check.
 */

/** @typedef {{ readonly name: string, readonly check: (tree: Tree) => Violation[] }} Rule */

/**
 * All files git tracks or would track.
 *
 * @param {string} root
 * @returns {Tree}
 */
export function diskTree(root) {
  const args = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
  const listed = execFileSync("git", args, { cwd: root, encoding: "utf8", maxBuffer: 2 ** 26 }).split("\0");
  const files = [...new Set(listed)].filter((file) => file !== "" && existsSync(join(root, file)));
  return treeOf(files.sort(), (file) => readFileSync(join(root, file), "utf8"));
}

/**
 * @param {Readonly<Record<string, string>>} texts - Path → contents.
 * @returns {Tree}
 */
export function memoryTree(texts) {
  return treeOf(Object.keys(texts).sort(), (file) => texts[file] ?? "");
}

/**
 * @param {readonly string[]} files
 * @param {(file: string) => string} read
 * @returns {Tree}
 */
function treeOf(files, read) {
  const known = new Set(files);
  const text = cached(read);
  return {
    files,
    has: (file) => known.has(file),
    text,
    source: cached((file) => ts.createSourceFile(file, text(file), ts.ScriptTarget.Latest, true)),
    json: cached((file) => JSON.parse(text(file))),
  };
}

/**
 * @template T
 * @param {(file: string) => T} make
 * @returns {(file: string) => T}
 */
function cached(make) {
  /** @type {Map<string, T>} */
  const made = new Map();
  return (file) => {
    const value = made.get(file) ?? make(file);
    made.set(file, value);
    return value;
  };
}
