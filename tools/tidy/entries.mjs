// The source files that stand behind a package's or example's entries.
import { posix } from "node:path";
import ts from "typescript";

/** @typedef {import("./tree.mjs").Tree} Tree */

/**
 * Entry names of a folder's `tsup.config.ts` → source files: `{ index: "src/index.ts" }`.
 *
 * @param {Tree} tree
 * @param {string} folder
 * @returns {Map<string, string>}
 */
export function bundleEntries(tree, folder) {
  const config = `${folder}/tsup.config.ts`;
  /** @type {Map<string, string>} */
  const entries = new Map();
  if (!tree.has(config)) return entries;
  /** @param {ts.Node} node */
  const visit = (node) => {
    if (ts.isPropertyAssignment(node) && ts.isStringLiteralLike(node.initializer)) {
      const name = ts.isIdentifier(node.name) || ts.isStringLiteral(node.name) ? node.name.text : "";
      const file = node.initializer.text;
      if (/^(\.\/)?(src|web)\//.test(file)) entries.set(name, posix.join(folder, file));
    }
    ts.forEachChild(node, visit);
  };
  visit(tree.source(config));
  return entries;
}

/**
 * Files of a folder that something outside its modules starts: a bundle, a script of package.json, a page.
 *
 * @param {Tree} tree
 * @param {string} folder
 * @returns {string[]}
 */
export function startedFiles(tree, folder) {
  const own = tree.files.filter((file) => file.startsWith(`${folder}/`));
  const texts = own.filter((file) =>
    /(\.html|package\.json|\.config\.ts|build\.mjs)$/.test(file.slice(folder.length)),
  );
  const named = texts.flatMap((file) =>
    [...tree.text(file).matchAll(/[\w./-]+\.(?:ts|js|mjs)/g)].flatMap(([path]) => {
      const source = path.replace(/\.js$/, ".ts");
      return [posix.join(posix.dirname(file), source), posix.join(folder, source)];
    }),
  );
  return [...new Set([...bundleEntries(tree, folder).values(), ...named])].filter((file) => tree.has(file));
}
