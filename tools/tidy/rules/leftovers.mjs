// Nothing is left for later: no marker in a file, no test left out or run alone.
import ts from "typescript";
import { isTest } from "../layout.mjs";

// Written so that it does not find itself.
const MARKER = /\b(T[O]DO|FIX[M]E|X[X]X)\b/;
const RUNNERS = new Set(["it", "test", "describe", "suite", "bench"]);
const LEFT = new Set(["only", "skip", "todo"]);

/** @type {import("../tree.mjs").Rule} */
export const leftovers = {
  name: "leftovers",
  check(tree) {
    return [
      ...tree.files.filter(isProse).flatMap((file) => markersIn(file, tree.text(file))),
      ...tree.files.filter(isTest).flatMap((file) => leftTests(file, tree.source(file))),
    ];
  },
};

/** @param {string} file */
function isProse(file) {
  return /\.(ts|mjs|js|lua|sql|md|html|css|sh|ya?ml)$/.test(file);
}

/**
 * @param {string} file
 * @param {string} text
 * @returns {import("../tree.mjs").Violation[]}
 */
function markersIn(file, text) {
  return text.split("\n").flatMap((line, index) => {
    const marker = MARKER.exec(line)?.[1];
    return marker === undefined
      ? []
      : [{ file, line: index + 1, message: `${marker} is left: do it, or drop it` }];
  });
}

/**
 * @param {string} file
 * @param {ts.SourceFile} source
 */
function leftTests(file, source) {
  /** @type {import("../tree.mjs").Violation[]} */
  const found = [];
  /** @param {ts.Node} node */
  const visit = (node) => {
    if (ts.isPropertyAccessExpression(node) && LEFT.has(node.name.text)) {
      const runner = node.expression.getText().split(".")[0] ?? "";
      const line = source.getLineAndCharacterOfPosition(node.getStart()).line + 1;
      if (RUNNERS.has(runner)) found.push({ file, line, message: `${node.getText()} is left in a test` });
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return found;
}
