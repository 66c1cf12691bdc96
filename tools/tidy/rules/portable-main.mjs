// The main entry of a package runs in any JavaScript runtime with no server: no node: module, no optional peer.
import { bundleEntries } from "../entries.mjs";
import { importsOf } from "../imports.mjs";
import { foreignPackage, packagesOf } from "../layout.mjs";

/** @type {import("../tree.mjs").Rule} */
export const portableMain = {
  name: "portable-main",
  check(tree) {
    return packagesOf(tree).flatMap(({ folder, manifest }) => {
      const main = bundleEntries(tree, folder).get("index");
      const optional = new Set(Object.keys(manifest.peerDependenciesMeta ?? {}));
      return main === undefined || !tree.has(main) ? [] : bound(tree, main, optional);
    });
  },
};

/**
 * @param {import("../tree.mjs").Tree} tree
 * @param {string} main
 * @param {ReadonlySet<string>} optional
 */
function bound(tree, main, optional) {
  /** @type {import("../tree.mjs").Violation[]} */
  const found = [];
  const seen = new Set([main]);
  for (const file of seen) {
    if (!file.endsWith(".ts")) continue;
    for (const { specifier, line, typeOnly, target } of importsOf(tree, file)) {
      if (typeOnly) continue;
      if (target !== undefined) seen.add(target);
      if (!specifier.startsWith("node:") && !optional.has(foreignPackage(specifier))) continue;
      found.push({ file, line, message: `${specifier} is reached from the main entry, which runs anywhere` });
    }
  }
  return found;
}
