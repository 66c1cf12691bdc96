// Turns the `// => value` comments of an example into assertions.
import ts from "typescript";

const EXPECTED = /\/\/ =>[ \t]*(.*)$/;

/**
 * @param {string} code
 * @returns {{ code: string, faults: { line: number, message: string }[] }} Lines count from 0 and stay where they are.
 */
export function withAssertions(code) {
  const source = ts.createSourceFile("example.ts", code, ts.ScriptTarget.Latest, true);
  /** @type {{ start: number, end: number, text: string }[]} */
  const edits = [];
  /** @type {Set<number>} */
  const asserted = new Set();
  /** @param {ts.Node} node */
  const visit = (node) => {
    if (ts.isExpressionStatement(node) || ts.isVariableStatement(node)) {
      const line = source.getLineAndCharacterOfPosition(node.getEnd()).line;
      const rest = /^[^\n]*/.exec(code.slice(node.getEnd()))?.[0] ?? "";
      const expected = EXPECTED.exec(rest.trim())?.[1];
      // Only what stands directly behind the statement belongs to it.
      if (expected !== undefined && /^\s*\/\/ =>/.test(rest)) {
        const text = asserting(node, line, JSON.stringify(expected.trim()));
        if (text !== undefined) {
          asserted.add(line);
          edits.push({ start: node.getStart(), end: node.getEnd(), text });
          return;
        }
      }
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  const faults = code.split("\n").flatMap((text, line) => {
    if (!EXPECTED.test(text) || asserted.has(line)) return [];
    return [{ line, message: "this `// =>` stands behind no expression, so it asserts nothing" }];
  });
  let result = code;
  for (const { start, end, text } of edits.sort((a, b) => b.start - a.start))
    result = result.slice(0, start) + text + result.slice(end);
  return { code: result, faults };
}

/**
 * @param {ts.ExpressionStatement | ts.VariableStatement} node
 * @param {number} line
 * @param {string} expected
 * @returns {string | undefined}
 */
function asserting(node, line, expected) {
  if (ts.isVariableStatement(node)) {
    const [declared, ...others] = node.declarationList.declarations;
    if (declared === undefined || others.length > 0 || !ts.isIdentifier(declared.name)) return undefined;
    return `${node.getText()} __doctest.sync(${line}, () => ${declared.name.text}, ${expected});`;
  }
  const shown = shownBy(node.expression);
  const task = `() => (${shown.getText()}), ${expected}`;
  return holdsAwait(shown)
    ? `await __doctest.async(${line}, async ${task});`
    : `__doctest.sync(${line}, ${task});`;
}

/** @param {ts.Expression} node - `console.log(value)` shows the value. */
function shownBy(node) {
  const isLog = ts.isCallExpression(node) && node.expression.getText() === "console.log";
  return isLog && node.arguments.length === 1 ? (node.arguments[0] ?? node) : node;
}

/**
 * @param {ts.Node} node
 * @returns {boolean}
 */
function holdsAwait(node) {
  if (ts.isAwaitExpression(node)) return true;
  return (
    ts.forEachChild(node, (child) =>
      ts.isFunctionLike(child) ? undefined : holdsAwait(child) || undefined,
    ) ?? false
  );
}
