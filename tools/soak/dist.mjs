// Finds what is built.
import { fileURLToPath, pathToFileURL } from "node:url";

/**
 * An entry of a built package.
 *
 * @param {string} name
 * @param {string} entry
 * @returns {Promise<any>}
 */
export function dist(name, entry) {
  const file = fileURLToPath(new URL(`../../packages/${name}/dist/${entry}.js`, import.meta.url));
  return import(pathToFileURL(file).href);
}
