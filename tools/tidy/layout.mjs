// Where things stand in this repository.

/** @typedef {import("./tree.mjs").Tree} Tree */

export const SCOPE = "@holdfast/";

/** Lower floors first; rooms on one floor do not know each other. */
export const FLOORS = [
  ["core"],
  ["cache", "ratelimit", "breaker"],
  ["queue", "events", "balancer"],
  ["gateway", "gpu-pool"],
];

/** Rooms below the top floor know only `core`. */
export const TOP_FLOOR = FLOORS.length - 1;

/**
 * @typedef {object} Place
 * @property {"packages" | "examples" | "tools" | "benchmarks"} top
 * @property {string} name - Of the package or example.
 * @property {string} inside - Path below its folder.
 */

/**
 * @param {string} file
 * @returns {Place | undefined}
 */
export function placeOf(file) {
  const match = /^(packages|examples|tools|benchmarks)\/([^/]+)\/(.+)$/.exec(file);
  if (match === null) return undefined;
  return /** @type {Place} */ ({ top: match[1], name: match[2], inside: match[3] });
}

/** @param {string} file */
export function isScript(file) {
  return /\.(ts|tsx|mts|mjs|js)$/.test(file);
}

/** @param {string} file - Whether it is a TypeScript file in the `src` of a package. */
export function isPackageSource(file) {
  return /^packages\/[^/]+\/src\/.+\.ts$/.test(file);
}

/** @param {string} file */
export function isSource(file) {
  return /^(packages|examples)\/[^/]+\/(src|web)\/.+\.ts$/.test(file);
}

/** @param {string} file */
export function isTest(file) {
  return /^(packages|examples)\/[^/]+\/test\/.+\.ts$|\.test\.mjs$/.test(file);
}

/**
 * @param {Tree} tree
 * @returns {{ name: string, folder: string, manifest: any }[]}
 */
export function packagesOf(tree) {
  return tree.files.flatMap((file) => {
    const name = /^packages\/([^/]+)\/package\.json$/.exec(file)?.[1];
    return name === undefined ? [] : [{ name, folder: `packages/${name}`, manifest: tree.json(file) }];
  });
}

/**
 * Splits `@holdfast/core/redis` into `core` and `./redis`; nothing for a foreign name.
 *
 * @param {string} specifier
 */
export function ownPackage(specifier) {
  if (!specifier.startsWith(SCOPE)) return undefined;
  const [name = "", ...rest] = specifier.slice(SCOPE.length).split("/");
  return { name, entry: rest.length === 0 ? "." : `./${rest.join("/")}` };
}

/**
 * Splits `a/b` or `@a/b/c` into the name of the package.
 *
 * @param {string} specifier
 */
export function foreignPackage(specifier) {
  const parts = specifier.split("/");
  return specifier.startsWith("@") ? parts.slice(0, 2).join("/") : (parts[0] ?? specifier);
}
