// What vitest says of a run, out of its JSON report.
import { readFileSync } from "node:fs";
import { relative } from "node:path";
import { root } from "../bootstrap/workspace.mjs";

/** @typedef {{ passed: number, failed: number, skipped: number }} Counts */
/** @typedef {{ file: string, name: string, message: string }} Failure */
/** @typedef {{ counts: Counts, failures: readonly Failure[] }} Report */

/** @typedef {{ status: string, fullName: string, failureMessages?: readonly string[] }} Test */
/** @typedef {{ name: string, status: string, message?: string, assertionResults: readonly Test[] }} File */
/**
 * @typedef {object} Written
 * @property {number} numPassedTests
 * @property {number} numFailedTests
 * @property {number} numPendingTests
 * @property {number} numTodoTests
 * @property {readonly File[]} testResults
 */

const LONGEST_MESSAGE = 300;

/**
 * What vitest counted. One that failed without a failing test (a broken file, an unhandled error) counts as one, and so
 * does a run without a test.
 *
 * @param {string} path
 * @param {number} code - What vitest exited with.
 * @returns {Report}
 */
export function readReport(path, code) {
  /** @type {Written} */
  let written;
  try {
    written = JSON.parse(readFileSync(path, "utf8"));
  } catch {
    return { counts: { passed: 0, failed: 1, skipped: 0 }, failures: [] };
  }
  const skipped = written.numPendingTests + written.numTodoTests;
  const passed = written.numPassedTests;
  const failed = code === 0 ? 0 : Math.max(1, written.numFailedTests);
  if (passed + failed + skipped === 0) return { counts: { passed: 0, failed: 1, skipped: 0 }, failures: [] };
  return { counts: { passed, failed, skipped }, failures: written.testResults.flatMap(failuresOf) };
}

/**
 * @param {File} file
 * @returns {Failure[]}
 */
function failuresOf({ name, status, message = "", assertionResults }) {
  const file = relative(root, name);
  const failed = assertionResults.filter((test) => test.status === "failed");
  if (failed.length === 0) return status === "failed" ? [{ file, name: "", message: brief(message) }] : [];
  return failed.map((test) => ({
    file,
    name: test.fullName,
    message: brief(test.failureMessages?.[0] ?? ""),
  }));
}

/** @param {string} message */
function brief(message) {
  return (message.split("\n    at ")[0] ?? "").replace(/\s+/g, " ").slice(0, LONGEST_MESSAGE);
}
