// A test reaches into the sources of its own package only.
import { importsOf } from "../imports.mjs";
import { isTest, placeOf } from "../layout.mjs";

/** @type {import("../tree.mjs").Rule} */
export const testImports = {
  name: "test-imports",
  check(tree) {
    return tree.files.filter(isTest).flatMap((file) => {
      const from = placeOf(file);
      return importsOf(tree, file).flatMap(({ specifier, line, target }) => {
        const to = target === undefined ? undefined : placeOf(target);
        const foreign =
          to !== undefined && to.inside.startsWith("src/") && (to.top !== from?.top || to.name !== from.name);
        if (!foreign && !/^@holdfast\/[^/]+\/(src|dist)\b/.test(specifier)) return [];
        return [{ file, line, message: `reaches into another package (${specifier}): use its public entry` }];
      });
    });
  },
};
