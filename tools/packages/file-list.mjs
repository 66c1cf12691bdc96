// Compares what a tarball holds with the committed list.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";

/**
 * @param {readonly string[]} files
 * @param {string} snapshot - Path of the committed list.
 * @param {boolean} update - Writes the list instead.
 * @returns {string[]}
 */
export function fileListFaults(files, snapshot, update) {
  const actual = [...new Set(files.map(withoutHash))].sort();
  if (update) {
    mkdirSync(dirname(snapshot), { recursive: true });
    writeFileSync(snapshot, `${actual.join("\n")}\n`);
    return [];
  }
  if (!existsSync(snapshot)) return [`has no committed file list: run with --update and read it`];
  const expected = readFileSync(snapshot, "utf8").trim().split("\n");
  return [
    ...actual.filter((file) => !expected.includes(file)).map((file) => `would newly publish ${file}`),
    ...expected.filter((file) => !actual.includes(file)).map((file) => `would no longer publish ${file}`),
  ];
}

/** @param {string} file - How many shared chunks there are, and what they are called, is the bundler's business. */
function withoutHash(file) {
  return file.replace(/^(dist\/)[\w-]+-[\w-]{8}(\.js|\.js\.map|\.d\.ts)$/, "$1<chunk>$2");
}
