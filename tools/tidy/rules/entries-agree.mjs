// A package's exports, its bundle's entries and the sources that tsconfig.json maps them to name the same things.
import { bundleEntries } from "../entries.mjs";
import { packagesOf, SCOPE } from "../layout.mjs";

/** @type {import("../tree.mjs").Rule} */
export const entriesAgree = {
  name: "entries-agree",
  check(tree) {
    /** @type {Record<string, string[]>} */
    const paths = tree.has("tsconfig.json") ? (tree.json("tsconfig.json").compilerOptions?.paths ?? {}) : {};
    const packages = packagesOf(tree);
    const wanted = packages.flatMap(({ name, folder, manifest }) => {
      const bundled = bundleEntries(tree, folder);
      return publicEntries(manifest).map((entry) => {
        const specifier = entry === "." ? SCOPE + name : `${SCOPE}${name}/${entry.slice(2)}`;
        return { folder, entry, specifier, source: bundled.get(entry === "." ? "index" : entry.slice(2)) };
      });
    });
    const known = new Set(wanted.map(({ specifier }) => specifier));
    const stale = Object.keys(paths).filter((path) => path.startsWith(SCOPE) && !known.has(path));
    return [
      ...wanted.flatMap(({ folder, entry, specifier, source }) => {
        if (source === undefined)
          return [{ file: `${folder}/tsup.config.ts`, message: `bundles nothing for exports["${entry}"]` }];
        if (!tree.has(source))
          return [{ file: `${folder}/tsup.config.ts`, message: `${source} does not exist` }];
        if (paths[specifier]?.[0] === `./${source}`) return [];
        return [{ file: "tsconfig.json", message: `paths["${specifier}"] must be ["./${source}"]` }];
      }),
      ...stale.map((path) => ({
        file: "tsconfig.json",
        message: `paths["${path}"] is exported by no package`,
      })),
    ];
  },
};

/** @param {any} manifest */
function publicEntries(manifest) {
  return Object.keys(manifest.exports ?? {}).filter((entry) => entry !== "./package.json");
}
