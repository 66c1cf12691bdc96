// Reads the rows, and all tags that stand in a repository's tests and documents.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { tagsOfDocument, tagsOfTest } from "./tags.mjs";

/** @typedef {import("./matrix.mjs").Row} Row */

/** @returns {readonly Row[]} */
export function readRows() {
  return JSON.parse(readFileSync(new URL("./rows.json", import.meta.url), "utf8"));
}

/**
 * @param {string} root
 * @returns {import("./tags.mjs").Found}
 */
export function collect(root) {
  const tests = ["packages", "examples"]
    .flatMap((top) => children(root, top).map((name) => `${top}/${name}/test`))
    .flatMap((folder) => filesUnder(root, folder))
    .filter((file) => /\.(test|test-d)\.ts$/.test(file))
    .map((file) => tagsOfTest(file, readFileSync(join(root, file), "utf8")));
  const documents = filesUnder(root, "docs")
    .filter((file) => file.endsWith(".md") && file !== "docs/systems.md")
    .map((file) => tagsOfDocument(file, readFileSync(join(root, file), "utf8")));
  const all = [...tests, ...documents];
  return { tags: all.flatMap(({ tags }) => tags), faults: all.flatMap(({ faults }) => faults) };
}

/**
 * @param {string} root
 * @param {string} folder
 * @returns {string[]}
 */
function filesUnder(root, folder) {
  return children(root, folder).flatMap((name) =>
    /\.[a-z-]+$/.test(name) ? [`${folder}/${name}`] : filesUnder(root, `${folder}/${name}`),
  );
}

/**
 * @param {string} root
 * @param {string} folder
 */
function children(root, folder) {
  if (!existsSync(join(root, folder))) return [];
  return readdirSync(join(root, folder), { withFileTypes: true })
    .filter((entry) => entry.name !== "node_modules" && (entry.isDirectory() || entry.name.includes(".")))
    .map(({ name }) => name)
    .sort();
}
