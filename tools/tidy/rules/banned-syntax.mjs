// No default export, enum, namespace or `any` in a package.
import ts from "typescript";
import { isPackageSource } from "../layout.mjs";

/** @type {import("../tree.mjs").Rule} */
export const bannedSyntax = {
  name: "banned-syntax",
  check(tree) {
    return tree.files
      .filter((file) => isPackageSource(file) && !file.endsWith(".d.ts"))
      .flatMap((file) => {
        const source = tree.source(file);
        /** @type {import("../tree.mjs").Violation[]} */
        const found = [];
        /** @param {ts.Node} node */
        const visit = (node) => {
          const message = messageFor(node);
          if (message !== undefined)
            found.push({
              file,
              line: source.getLineAndCharacterOfPosition(node.getStart()).line + 1,
              message,
            });
          ts.forEachChild(node, visit);
        };
        visit(source);
        return found;
      });
  },
};

/**
 * @param {ts.Node} node
 * @returns {string | undefined}
 */
function messageFor(node) {
  if (ts.isExportAssignment(node) || node.kind === ts.SyntaxKind.DefaultKeyword)
    return isDefaultExport(node) ? "default export: export it by name" : undefined;
  if (ts.isExportSpecifier(node) && node.name.text === "default") return "default export: export it by name";
  if (ts.isEnumDeclaration(node)) return "enum: use a union of string literals";
  if (ts.isModuleDeclaration(node) && ts.isIdentifier(node.name) && node.name.text !== "global")
    return "namespace: use a module";
  if (node.kind === ts.SyntaxKind.AnyKeyword) return "any: use unknown, or a type parameter";
  return undefined;
}

/** @param {ts.Node} node - `default:` of a switch is a clause, not this keyword as a modifier. */
function isDefaultExport(node) {
  return ts.isExportAssignment(node) || ts.canHaveModifiers(node.parent);
}
