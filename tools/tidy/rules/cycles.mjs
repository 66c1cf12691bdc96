// No circle of imports between files, types included.
import { importsOf } from "../imports.mjs";
import { isScript } from "../layout.mjs";

/** @type {import("../tree.mjs").Rule} */
export const cycles = {
  name: "cycles",
  check(tree) {
    const files = tree.files.filter((file) => isScript(file) && /^(packages|examples|tools)\//.test(file));
    const next = new Map(
      files.map((file) => [file, importsOf(tree, file).flatMap(({ target }) => target ?? [])]),
    );
    /** @type {Set<string>} */
    const done = new Set();
    return files.flatMap((file) => {
      const ring = ringFrom(file, next, done);
      return ring === undefined ? [] : [{ file, message: `imports in a circle: ${ring.join(" → ")}` }];
    });
  },
};

/**
 * @param {string} start
 * @param {ReadonlyMap<string, readonly string[]>} next
 * @param {Set<string>} done - Files whose circles are known already.
 * @returns {string[] | undefined}
 */
function ringFrom(start, next, done) {
  /** @type {string[]} */
  const path = [];
  /** @param {string} file @returns {string[] | undefined} */
  const walk = (file) => {
    if (path.includes(file)) return [...path.slice(path.indexOf(file)), file];
    if (done.has(file)) return undefined;
    path.push(file);
    for (const target of next.get(file) ?? []) {
      const ring = walk(target);
      if (ring !== undefined) {
        for (const member of ring) done.add(member);
        return ring;
      }
    }
    path.pop();
    done.add(file);
    return undefined;
  };
  return walk(start);
}
