// Runs the steps of `npm test`, shows what failed, and ends with how many tests passed.
import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { runQuietly } from "../bootstrap/run-command.mjs";
import { root } from "../bootstrap/workspace.mjs";
import { stepsOf } from "./steps.mjs";

/** @typedef {{ passed: number, failed: number, skipped: number }} Counts */

const reports = join(root, ".cache", "reports");
const fast = process.argv.includes("--fast");

rmSync(reports, { recursive: true, force: true });
mkdirSync(reports, { recursive: true });
/** @type {Counts} */
const total = { passed: 0, failed: 0, skipped: 0 };
/** @type {string[]} */
const broken = [];
for (const step of stepsOf(fast)) {
  const counts = await run(step);
  total.passed += counts.passed;
  total.failed += counts.failed;
  total.skipped += counts.skipped;
  if (counts.failed > 0) broken.push(step.name);
}
if (broken.length > 0) console.log(`\nfailed: ${broken.join(", ")}`);
console.log(`\n${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
process.exitCode = broken.length === 0 && total.passed > 0 ? 0 : 1;

/**
 * @param {import("./steps.mjs").Step} step
 * @returns {Promise<Counts>}
 */
async function run(step) {
  const startedAt = Date.now();
  const report = join(reports, `${step.name.replace(/\W+/g, "-")}.json`);
  const args = step.vitest
    ? [...step.args, "--reporter=default", "--reporter=json", `--outputFile.json=${report}`]
    : step.args;
  const { code, output } = await runQuietly(step.command, args, { env: { ...process.env, NO_COLOR: "1" } });
  const counts = step.vitest
    ? countsOf(report, code)
    : { passed: code === 0 ? 1 : 0, failed: code === 0 ? 0 : 1, skipped: 0 };
  const verdict = counts.failed === 0 ? "ok" : "FAILED";
  const seconds = ((Date.now() - startedAt) / 1000).toFixed(1);
  console.log(
    `${verdict.padEnd(7)} ${step.name.padEnd(18)} ${seconds.padStart(6)} s  ${step.vitest ? textOf(counts) : ""}`,
  );
  if (counts.failed > 0) console.log(output.trimEnd());
  else for (const line of loudLines(output)) console.log(line);
  return counts;
}

/**
 * What vitest counted. One that failed without a failing test (a broken file, an unhandled error) counts as one.
 *
 * @param {string} report
 * @param {number} code
 * @returns {Counts}
 */
function countsOf(report, code) {
  /** @type {{ numPassedTests: number, numFailedTests: number, numPendingTests: number, numTodoTests: number }} */
  let counted;
  try {
    counted = JSON.parse(readFileSync(report, "utf8"));
  } catch {
    return { passed: 0, failed: 1, skipped: 0 };
  }
  const skipped = counted.numPendingTests + counted.numTodoTests;
  const failed = code === 0 ? 0 : Math.max(1, counted.numFailedTests);
  // A run without a test is no run.
  return counted.numPassedTests + failed + skipped === 0
    ? { passed: 0, failed: 1, skipped: 0 }
    : { passed: counted.numPassedTests, failed, skipped };
}

/** @param {Counts} counts */
function textOf({ passed, failed, skipped }) {
  return `${passed} passed${failed > 0 ? `, ${failed} failed` : ""}${skipped > 0 ? `, ${skipped} skipped` : ""}`;
}

/** Lines nobody should miss although the step passed. @param {string} output */
function loudLines(output) {
  return output.split("\n").filter((line) => line.includes("NOT RUN") || line.includes("To run them"));
}
