// Finds the `row(59, "…")` tags of a test file, and the `<!-- rows 23 -->` marks of a document, without running them.
import ts from "typescript";

/**
 * @typedef {object} Tag
 * @property {readonly number[]} rows
 * @property {string} title
 * @property {string} file
 * @property {number} line
 */

/** @typedef {{ readonly tags: Tag[], readonly faults: string[] }} Found */

/**
 * @param {string} file - Path from the root of the repository.
 * @param {string} text
 * @returns {Found} Faults are calls of `row` that cannot be read without running the test.
 */
export function tagsOfTest(file, text) {
  /** @type {Found} */
  const found = { tags: [], faults: [] };
  if (!/systems\/row\.mjs["']/.test(text)) return found;
  const source = ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true);
  /** @param {ts.Node} node */
  const visit = (node) => {
    if (ts.isCallExpression(node) && ts.isIdentifier(node.expression) && node.expression.text === "row") {
      const line = source.getLineAndCharacterOfPosition(node.getStart()).line + 1;
      const rows = numbersOf(node.arguments[0]);
      const title = titleOf(node.arguments[1]);
      if (rows === undefined || title === undefined)
        found.faults.push(`${file}:${line} row() wants literal numbers and a literal title`);
      else found.tags.push({ rows, title, file, line });
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return found;
}

/**
 * @param {string} file
 * @param {string} text
 * @returns {Found}
 */
export function tagsOfDocument(file, text) {
  /** @type {Found} */
  const found = { tags: [], faults: [] };
  let heading = file;
  for (const [index, line] of text.split("\n").entries()) {
    heading = /^#+ (.+)$/.exec(line)?.[1] ?? heading;
    const mark = /<!-- rows? ([\d, ]+) -->/.exec(line);
    if (mark === null) continue;
    const rows = (mark[1] ?? "").split(",").map(Number);
    found.tags.push({ rows, title: heading, file, line: index + 1 });
  }
  return found;
}

/**
 * @param {ts.Expression | undefined} node
 * @returns {readonly number[] | undefined}
 */
function numbersOf(node) {
  if (node === undefined) return undefined;
  if (ts.isNumericLiteral(node)) return [Number(node.text)];
  if (!ts.isArrayLiteralExpression(node) || node.elements.length === 0) return undefined;
  const numbers = node.elements.map((one) => (ts.isNumericLiteral(one) ? Number(one.text) : NaN));
  return numbers.includes(NaN) ? undefined : numbers;
}

/**
 * @param {ts.Expression | undefined} node
 * @returns {string | undefined}
 */
function titleOf(node) {
  if (node === undefined) return undefined;
  if (ts.isStringLiteralLike(node)) return node.text;
  // A title of a parameterised test keeps its placeholders.
  return ts.isTemplateExpression(node) ? node.getText().slice(1, -1) : undefined;
}
