// Runs the steps of `npm test`, shows what failed, and ends with how many tests passed.
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { runQuietly } from "../bootstrap/run-command.mjs";
import { root } from "../bootstrap/workspace.mjs";
import { readReport } from "./report.mjs";
import { stepsOf } from "./steps.mjs";

/** @typedef {import("./report.mjs").Counts} Counts */
/** @typedef {import("./report.mjs").Failure} Failure */
/** @typedef {import("./steps.mjs").Step} Step */

/** More broken files than that are no accident of a busy machine. */
const MAX_FILES_AGAIN = 2;

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
 * @param {Step} step
 * @returns {Promise<Counts>}
 */
async function run(step) {
  const startedAt = Date.now();
  const first = await execute(step, step.args);
  const again = await tryAgain(step, first.failures, first.counts);
  const counts = again ?? first.counts;
  const verdict = counts.failed === 0 ? "ok" : "FAILED";
  const seconds = ((Date.now() - startedAt) / 1000).toFixed(1);
  console.log(
    `${verdict.padEnd(7)} ${step.name.padEnd(18)} ${seconds.padStart(6)} s  ${step.vitest ? textOf(counts) : ""}`,
  );
  for (const { file, name, message } of first.failures)
    console.log(`${again === undefined ? "" : "        ONCE: "}${file} > ${name}: ${message}`);
  if (counts.failed > 0) console.log(first.output.trimEnd());
  else for (const line of loudLines(first.output)) console.log(line);
  return counts;
}

/**
 * @param {Step} step
 * @param {readonly string[]} args
 */
async function execute(step, args) {
  const report = join(reports, `${step.name.replace(/\W+/g, "-")}.json`);
  const all = step.vitest
    ? [...args, "--reporter=default", "--reporter=json", `--outputFile.json=${report}`]
    : args;
  const { code, output } = await runQuietly(step.command, all, { env: { ...process.env, NO_COLOR: "1" } });
  if (step.vitest) return { output, ...readReport(report, code) };
  const failed = code === 0 ? 0 : 1;
  return { output, counts: { passed: 1 - failed, failed, skipped: 0 }, failures: [] };
}

/**
 * Tests with real servers and processes share two cores with each other, and one of a thousand may be too late for that.
 * A file that failed is run once more, alone; what it failed with is shown, whatever comes of it.
 *
 * @param {Step} step
 * @param {readonly Failure[]} failures
 * @param {Counts} counts
 * @returns {Promise<Counts | undefined>} As if it had passed at once; `undefined` when it has not.
 */
async function tryAgain(step, failures, counts) {
  const files = [...new Set(failures.map(({ file }) => file))];
  // All that failed must be known by name: an unhandled error belongs to no test.
  const isNamed = failures.length === counts.failed && failures.every(({ name }) => name !== "");
  if (step.again !== true || !isNamed || files.length === 0 || files.length > MAX_FILES_AGAIN)
    return undefined;
  const second = await execute(step, [...step.args, ...files]);
  if (second.counts.failed > 0) return undefined;
  return { ...counts, passed: counts.passed + counts.failed, failed: 0 };
}

/** @param {Counts} counts */
function textOf({ passed, failed, skipped }) {
  return `${passed} passed${failed > 0 ? `, ${failed} failed` : ""}${skipped > 0 ? `, ${skipped} skipped` : ""}`;
}

/** Lines nobody should miss although the step passed. @param {string} output */
function loudLines(output) {
  return output.split("\n").filter((line) => line.includes("NOT RUN") || line.includes("To run them"));
}
