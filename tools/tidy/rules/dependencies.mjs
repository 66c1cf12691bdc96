// Every runtime dependency is declared where it is used, and has a reason in dependencies.json.
import { readFileSync } from "node:fs";
import { importsOf } from "../imports.mjs";
import { foreignPackage, isPackageSource, ownPackage, placeOf, SCOPE } from "../layout.mjs";

/**
 * @param {Readonly<Record<string, string>>} reasons
 * @returns {import("../tree.mjs").Rule}
 */
export function dependenciesWith(reasons) {
  return {
    name: "dependencies",
    check(tree) {
      const manifests = tree.files.filter((file) => /^(packages|examples)\/[^/]+\/package\.json$/.test(file));
      const used = new Set(manifests.flatMap((file) => declaredIn(tree.json(file))));
      const withoutReason = manifests.flatMap((file) =>
        declaredIn(tree.json(file))
          .filter((name) => !name.startsWith(SCOPE) && !reasons[name])
          .map((name) => ({ file, message: `${name} has no reason in tools/tidy/dependencies.json` })),
      );
      const stale = Object.keys(reasons)
        .filter((name) => !used.has(name))
        .map((name) => ({ file: "tools/tidy/dependencies.json", message: `nothing depends on ${name}` }));
      return [
        ...withoutReason,
        ...stale,
        ...tree.files.filter(isPackageSource).flatMap((file) => undeclared(tree, file)),
      ];
    },
  };
}

/** @returns {{ runtime: Record<string, string>, installScripts: Record<string, string> }} */
export function readReasons() {
  return JSON.parse(readFileSync(new URL("../dependencies.json", import.meta.url), "utf8"));
}

/** @param {any} manifest @returns {string[]} */
function declaredIn(manifest) {
  return Object.keys({ ...manifest.dependencies, ...manifest.peerDependencies });
}

/**
 * @param {import("../tree.mjs").Tree} tree
 * @param {string} file
 */
function undeclared(tree, file) {
  const name = placeOf(file)?.name ?? "";
  const manifest = `packages/${name}/package.json`;
  const declared = tree.has(manifest) ? declaredIn(tree.json(manifest)) : [];
  return importsOf(tree, file)
    .filter(({ specifier }) => !/^(\.|node:)/.test(specifier) && ownPackage(specifier)?.name !== name)
    .filter(({ specifier }) => !declared.includes(foreignPackage(specifier)))
    .map(({ specifier, line }) => ({ file, line, message: `${specifier} is not declared in ${manifest}` }));
}
