// Imports point down only, and through public entries.
import { importsOf } from "../imports.mjs";
import { FLOORS, TOP_FLOOR, isScript, ownPackage, placeOf } from "../layout.mjs";

/** @type {import("../tree.mjs").Rule} */
export const floors = {
  name: "floors",
  check(tree) {
    return tree.files.filter(isScript).flatMap((file) => {
      const from = placeOf(file);
      if (from === undefined || from.top === "tools" || from.top === "benchmarks") return [];
      if (from.top === "packages" && floorOf(from.name) < 0)
        return [{ file, message: `packages/${from.name} has no floor: add it to tools/tidy/layout.mjs` }];
      return importsOf(tree, file).flatMap(({ specifier, line, target }) => {
        const message = target === undefined ? byName(tree, from, specifier) : byPath(from, target);
        return message === undefined ? [] : [{ file, line, message }];
      });
    });
  },
};

/**
 * @param {import("../tree.mjs").Tree} tree
 * @param {import("../layout.mjs").Place} from
 * @param {string} specifier
 */
function byName(tree, from, specifier) {
  const to = ownPackage(specifier);
  if (to === undefined) return undefined;
  if (to.name.startsWith("example-")) return `nobody imports an example (${specifier})`;
  const manifest = `packages/${to.name}/package.json`;
  if (!tree.has(manifest)) return `there is no package ${specifier}`;
  if (!(to.entry in (tree.json(manifest).exports ?? {})))
    return `${specifier} is no public entry: it must stand in the exports of ${manifest}`;
  if (from.top === "examples" || from.name === to.name) return undefined;
  return climb(from.name, to.name);
}

/**
 * @param {string} from
 * @param {string} to
 */
function climb(from, to) {
  const own = floorOf(from);
  if (floorOf(to) >= own) return `${from} must not import ${to}: imports point to lower floors only`;
  if (own < TOP_FLOOR && to !== "core")
    return `${from} knows only core: take what you need of ${to} as a core interface`;
  return undefined;
}

/**
 * @param {import("../layout.mjs").Place} from
 * @param {string} target
 */
function byPath(from, target) {
  const to = placeOf(target);
  if (to === undefined || to.top === "tools" || (to.top === from.top && to.name === from.name))
    return undefined;
  if (to.top === "examples") return `nobody imports an example (${target})`;
  return `import the public entry of ${to.name} by its name, not its file ${target}`;
}

/** @param {string} name */
function floorOf(name) {
  return FLOORS.findIndex((rooms) => rooms.includes(name));
}
