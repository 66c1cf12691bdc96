// Measures what one import costs an application: bundled, minified, gzipped.
import { build } from "esbuild";
import { gzipSync } from "node:zlib";

/**
 * @typedef {object} Budget
 * @property {string} from - Entry, such as `@holdfast/core`.
 * @property {string} use - What is imported: `retry`, or `*`.
 * @property {number} bytes - Most bytes after gzip: more is a fault.
 * @property {number} target - What is aimed at: more is said, and no fault.
 * @property {readonly string[]} [without] - Libraries that are not counted.
 */

/**
 * @param {Pick<Budget, "from" | "use" | "without">} imported
 * @param {string} folder - Where the packages are installed.
 * @returns {Promise<number>} Bytes after gzip.
 */
export async function gzippedSize({ from, use, without = [] }, folder) {
  const what = use === "*" ? "*" : `{ ${use} }`;
  const { outputFiles } = await build({
    stdin: { contents: `export ${what} from ${JSON.stringify(from)};`, resolveDir: folder },
    bundle: true,
    minify: true,
    write: false,
    format: "esm",
    target: "es2022",
    platform: "neutral",
    external: ["node:*", ...without],
    logLevel: "silent",
  });
  return gzipSync(outputFiles[0]?.contents ?? "", { level: 9 }).length;
}
