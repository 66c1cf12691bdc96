// Packs a package into the tarball that npm would publish.
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";

/**
 * @typedef {object} Packed
 * @property {string} name - Of the package.
 * @property {string} folder
 * @property {any} manifest
 * @property {string} tarball - Absolute path.
 * @property {readonly string[]} files - Paths inside the package.
 */

/**
 * Packs one of ours.
 *
 * @param {string} folder - Of the package.
 * @param {string} into - Folder for the tarball.
 * @returns {Promise<Packed>}
 * @throws {Error} When an entry that it exports is not built.
 */
export async function packBuilt(folder, into) {
  const packed = await pack(folder, into);
  const missing = entryFiles(packed.manifest).filter((file) => !packed.files.includes(file));
  if (missing.length > 0)
    throw new Error(
      `${packed.name} exports ${missing.join(", ")}, which is not built: run \`npm run build\``,
    );
  return packed;
}

/**
 * @param {string} folder - Of the package.
 * @param {string} into - Folder for the tarball.
 * @returns {Promise<Packed>}
 */
export async function pack(folder, into) {
  const args = ["pack", "--json", "--ignore-scripts", "--loglevel=error", `--pack-destination=${into}`];
  const { stdout } = await promisify(execFile)("npm", args, { cwd: folder, maxBuffer: 2 ** 26 });
  const answer = JSON.parse(stdout);
  // npm 12 answers an object by name, older ones a list.
  const [one] = Array.isArray(answer) ? answer : Object.values(answer);
  const manifest = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  const files = one.files.map((/** @type {{ path: string }} */ { path }) => path);
  return { name: manifest.name, folder, manifest, tarball: join(into, one.filename), files };
}

/** @param {any} manifest @returns {string[]} */
function entryFiles(manifest) {
  return Object.values(manifest.exports ?? {})
    .flatMap((target) =>
      typeof target === "string" ? [target] : Object.values(/** @type {object} */ (target)),
    )
    .map((file) => file.replace(/^\.\//, ""));
}
