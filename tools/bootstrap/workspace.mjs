// What this repository consists of: its root, its workspaces, and the order they build in.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/**
 * @typedef {object} Workspace
 * @property {string} name - The package's name.
 * @property {string} folder - Absolute path.
 * @property {boolean} builds - Whether it has a build script.
 * @property {readonly string[]} needs - Names of the workspaces it depends on.
 */

/** Absolute path of the repository, without a slash at its end. */
export const root = fileURLToPath(new URL("../..", import.meta.url)).replace(/\/$/, "");

/**
 * All workspaces, each behind those it depends on.
 *
 * @returns {Workspace[]}
 */
export function workspaces() {
  /** @type {string[]} */
  const patterns = readJson(join(root, "package.json")).workspaces;
  const found = patterns.flatMap(foldersOf).map(workspaceAt);
  const names = new Set(found.map(({ name }) => name));
  return inBuildOrder(found.map((one) => ({ ...one, needs: one.needs.filter((name) => names.has(name)) })));
}

/**
 * @param {string} file
 * @returns {any}
 */
export function readJson(file) {
  return JSON.parse(readFileSync(file, "utf8"));
}

/**
 * @param {readonly Workspace[]} all - Their `needs` name only each other.
 * @returns {Workspace[]} Each behind those it needs.
 */
export function inBuildOrder(all) {
  /** @type {Workspace[]} */
  const ordered = [];
  let rest = [...all];
  while (rest.length > 0) {
    const ready = rest.filter(({ needs }) =>
      needs.every((name) => ordered.some((done) => done.name === name)),
    );
    if (ready.length === 0)
      throw new Error(`workspaces need each other: ${rest.map((one) => one.name).join(", ")}`);
    ordered.push(...ready);
    rest = rest.filter((one) => !ready.includes(one));
  }
  return ordered;
}

/** @param {string} pattern - Such as `packages/*`. */
function foldersOf(pattern) {
  const parent = join(root, pattern.replace(/\/\*$/, ""));
  if (!existsSync(parent)) return [];
  return readdirSync(parent)
    .map((entry) => join(parent, entry))
    .filter((folder) => existsSync(join(folder, "package.json")))
    .sort();
}

/**
 * @param {string} folder
 * @returns {Workspace}
 */
function workspaceAt(folder) {
  const { name, scripts, dependencies, devDependencies } = readJson(join(folder, "package.json"));
  const needs = Object.keys({ ...dependencies, ...devDependencies });
  return { name, folder, builds: scripts?.build !== undefined, needs };
}
