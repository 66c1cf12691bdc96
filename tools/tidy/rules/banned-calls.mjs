// Time and chance come from an injected clock and random; errors have codes.
import ts from "typescript";
import { isPackageSource, isSource } from "../layout.mjs";

const MEMBERS = new Map([
  ["Date.now", "take a clock and call clock.now()"],
  ["performance.now", "take a clock and call clock.monotonic()"],
  ["Math.random", "take a random and call random()"],
  ["AbortSignal.timeout", "take a clock and use clock.setTimer() or a timeout() policy"],
]);
const TIMERS = new Map([
  ["setTimeout", "take a clock and use clock.setTimer() or clock.sleep()"],
  ["setInterval", "take a clock and use clock.setTimer()"],
]);
const BARE = new Set(["Error", "TypeError", "RangeError"]);
const GLOBALS = new Set(["globalThis", "window", "self"]);

/** @type {import("../tree.mjs").Rule} */
export const bannedCalls = {
  name: "banned-calls",
  check(tree) {
    return tree.files
      .filter((file) => isSource(file) && !isTimeItself(file) && !isPage(file))
      .flatMap((file) => {
        const source = tree.source(file);
        /** @type {import("../tree.mjs").Violation[]} */
        const found = [];
        /** @param {ts.Node} node */
        const visit = (node) => {
          const message = messageFor(node, file);
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

/** @param {string} file */
function isTimeItself(file) {
  return file.startsWith("packages/core/src/time/") || file === "packages/core/src/random.ts";
}

/** @param {string} file - Whether it runs in a browser, where nothing is injected. */
function isPage(file) {
  return /^(?:examples\/[^/]+\/(?:web|src\/page)|packages\/[^/]+\/src\/(?:[^/]+\/)*page)\//.test(file);
}

/**
 * @param {ts.Node} node
 * @param {string} file
 * @returns {string | undefined}
 */
function messageFor(node, file) {
  if (ts.isPropertyAccessExpression(node)) {
    const instead = MEMBERS.get(node.getText().replace(/^(globalThis|window|self)\./, ""));
    return instead === undefined ? undefined : `${node.getText()} is banned: ${instead}`;
  }
  if (ts.isIdentifier(node) && TIMERS.has(node.text) && isGlobalUse(node))
    return `${node.text} is banned: ${TIMERS.get(node.text)}`;
  if (ts.isNewExpression(node) && node.expression.getText() === "Date" && !node.arguments?.length)
    return "new Date() is banned: take a clock and use new Date(clock.now())";
  if (ts.isImportDeclaration(node) && /^["'](node:)?timers/.test(node.moduleSpecifier.getText()))
    return "node:timers is banned: take a clock and use clock.setTimer() or clock.sleep()";
  if (ts.isThrowStatement(node) && isPackageSource(file) && !isForTestRunners(file)) return bareThrow(node);
  return undefined;
}

/** @param {ts.Identifier} node - Whether it names the global, not a member, a declaration or a type. */
function isGlobalUse(node) {
  const { parent } = node;
  if (ts.isPropertyAccessExpression(parent) && parent.name === node)
    return GLOBALS.has(parent.expression.getText());
  if (ts.isTypeQueryNode(parent)) return false;
  return !("name" in parent && parent.name === node);
}

/** @param {ts.ThrowStatement} node */
function bareThrow(node) {
  const { expression } = node;
  if (!ts.isNewExpression(expression) || !BARE.has(expression.expression.getText())) return undefined;
  if (isCaughtHere(node)) return undefined;
  return `throw new ${expression.expression.getText()} is banned: throw a HoldfastError with a code`;
}

/** @param {ts.Node} node - Whether the same function catches what is thrown here: then nobody outside sees it. */
function isCaughtHere(node) {
  for (let at = node; at.parent !== undefined && !ts.isFunctionLike(at); at = at.parent)
    if (ts.isTryStatement(at.parent) && at.parent.tryBlock === at && at.parent.catchClause) return true;
  return false;
}

/** @param {string} file - A conformance suite's failed expectation is read by a test runner, not handled. */
function isForTestRunners(file) {
  return /\/src\/testing(\.ts$|\/)/.test(file);
}
