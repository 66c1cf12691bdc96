// What a source file imports, and which file of the tree that is.
import { posix } from "node:path";
import ts from "typescript";

/** @typedef {import("./tree.mjs").Tree} Tree */

/**
 * @typedef {object} Import
 * @property {string} specifier
 * @property {number} line
 * @property {boolean} typeOnly - Erased by the compiler.
 * @property {string | undefined} target - The file of the tree, for a relative import that exists.
 */

/**
 * Imports, re-exports, `import()`, `import("…").Type` and `new URL("…", import.meta.url)`.
 *
 * @param {Tree} tree
 * @param {string} file
 * @returns {Import[]}
 */
export function importsOf(tree, file) {
  const source = tree.source(file);
  /** @type {Import[]} */
  const found = [];
  /** @param {ts.Node | undefined} node @param {boolean} typeOnly */
  const add = (node, typeOnly) => {
    if (node === undefined || !ts.isStringLiteralLike(node)) return;
    const line = source.getLineAndCharacterOfPosition(node.getStart()).line + 1;
    found.push({ specifier: node.text, line, typeOnly, target: resolveIn(tree, file, node.text) });
  };
  /** @param {ts.Node} node */
  const visit = (node) => {
    if (ts.isImportDeclaration(node))
      add(node.moduleSpecifier, node.importClause?.phaseModifier === ts.SyntaxKind.TypeKeyword);
    else if (ts.isExportDeclaration(node)) add(node.moduleSpecifier, node.isTypeOnly);
    else if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument))
      add(node.argument.literal, true);
    else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword)
      add(node.arguments[0], false);
    else if (ts.isNewExpression(node) && node.expression.getText() === "URL")
      if (node.arguments?.[1]?.getText() === "import.meta.url") add(node.arguments[0], false);
    ts.forEachChild(node, visit);
  };
  visit(source);
  return found;
}

/**
 * @param {Tree} tree
 * @param {string} from
 * @param {string} specifier
 */
function resolveIn(tree, from, specifier) {
  if (!specifier.startsWith(".")) return undefined;
  // `?page` asks for the text of what is bundled from that file.
  const path = posix.join(posix.dirname(from), specifier.replace(/\?page$/, ""));
  const candidates = [path, `${path}.ts`, path.replace(/\.js$/, ".ts"), posix.join(path, "index.ts")];
  return candidates.find((candidate) => tree.has(candidate));
}
