// What an example's assertions call while it runs.
import { inspect } from "node:util";
import { runInThisContext } from "node:vm";

/** @param {unknown} value */
function shown(value) {
  return inspect(value, { breakLength: Infinity, depth: null, sorted: true });
}

// Our timers let a process end. An application lives on by its server; an example lives on until its last line.
const alive = setInterval(() => {}, 60_000);

export const doctest = {
  end() {
    clearInterval(alive);
  },

  /**
   * @param {number} line - Of the example, from 0.
   * @param {() => unknown} task
   * @param {string} expected
   */
  sync(line, task, expected) {
    try {
      compare(line, task(), expected);
    } catch (error) {
      compareError(line, error, expected);
    }
  },

  /**
   * @param {number} line
   * @param {() => Promise<unknown>} task
   * @param {string} expected
   */
  async async(line, task, expected) {
    try {
      compare(line, await task(), expected);
    } catch (error) {
      compareError(line, error, expected);
    }
  },
};

class Mismatch extends Error {}

/**
 * @param {number} line
 * @param {unknown} value
 * @param {string} expected - A value as code; `…` stands for anything.
 */
function compare(line, value, expected) {
  const actual = shown(value);
  if (!isThrow(expected) && matches(actual, expected)) return;
  throw new Mismatch(`@${line} expected ${expected}, got ${actual}`);
}

/**
 * @param {number} line
 * @param {unknown} error
 * @param {string} expected
 */
function compareError(line, error, expected) {
  if (error instanceof Mismatch) throw error;
  const code = /** @type {{ code?: unknown } | null} */ (error)?.code;
  if (isThrow(expected) && code === expected.slice("throws ".length)) return;
  throw new Mismatch(`@${line} expected ${expected}, threw ${shown(error)}`);
}

/** @param {string} expected */
function isThrow(expected) {
  return /^throws [A-Z][A-Z0-9_]*$/.test(expected);
}

/**
 * @param {string} actual
 * @param {string} expected
 */
function matches(actual, expected) {
  if (actual === expected) return true;
  if (expected.includes("…")) {
    const parts = expected.replaceAll('"', "'").split("…");
    return new RegExp(`^${parts.map(literally).join(".*")}$`, "s").test(actual);
  }
  try {
    return actual === shown(runInThisContext(`(${expected}\n)`));
  } catch {
    return false;
  }
}

/** @param {string} text */
function literally(text) {
  return text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
}
