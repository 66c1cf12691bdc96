// Nothing inside a package imports the package's own index: a barrel would close circles.
import { importsOf } from "../imports.mjs";
import { isPackageSource, ownPackage, placeOf } from "../layout.mjs";

/** @type {import("../tree.mjs").Rule} */
export const ownIndex = {
  name: "own-index",
  check(tree) {
    return tree.files.filter(isPackageSource).flatMap((file) => {
      const name = placeOf(file)?.name;
      return importsOf(tree, file)
        .filter(
          ({ specifier, target }) =>
            target === `packages/${name}/src/index.ts` || ownPackage(specifier)?.name === name,
        )
        .map(({ line, specifier }) => ({
          file,
          line,
          message: `imports its own package's index (${specifier}): import the file that defines it`,
        }));
    });
  },
};
