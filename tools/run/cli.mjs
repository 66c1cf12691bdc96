// Runs the steps of `npm test`, shows what failed, and ends with how many tests passed.
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { runQuietly } from "../bootstrap/run-command.mjs";
import { root } from "../bootstrap/workspace.mjs";
import { readReport } from "./report.mjs";
import { stepsOf } from "./steps.mjs";

/** @typedef {import("./report.mjs").Counts} Counts */
/** @typedef {import("./steps.mjs").Step} Step */

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
  const { output, counts, failures } = await execute(step);
  const verdict = counts.failed === 0 ? "ok" : "FAILED";
  const seconds = ((Date.now() - startedAt) / 1000).toFixed(1);
  console.log(
    `${verdict.padEnd(7)} ${step.name.padEnd(18)} ${seconds.padStart(6)} s  ${step.vitest ? textOf(counts) : ""}`,
  );
  for (const { file, name, message } of failures) console.log(`${file} > ${name}: ${message}`);
  if (counts.failed > 0) console.log(output.trimEnd());
  else for (const line of loudLines(output)) console.log(line);
  return counts;
}

/**
 * @param {Step} step
 * @returns {Promise<import("./report.mjs").Report & { output: string }>}
 */
async function execute(step) {
  const report = join(reports, `${step.name.replace(/\W+/g, "-")}.json`);
  const all = step.vitest
    ? [...step.args, "--reporter=default", "--reporter=json", `--outputFile.json=${report}`]
    : step.args;
  const { code, output } = await runQuietly(step.command, all, { env: { ...process.env, NO_COLOR: "1" } });
  if (step.vitest) return { output, ...readReport(report, code) };
  const failed = code === 0 ? 0 : 1;
  return { output, counts: { passed: 1 - failed, failed, skipped: 0 }, failures: [] };
}

/** @param {Counts} counts */
function textOf({ passed, failed, skipped }) {
  return `${passed} passed${failed > 0 ? `, ${failed} failed` : ""}${skipped > 0 ? `, ${skipped} skipped` : ""}`;
}

/** Lines nobody should miss although the step passed. @param {string} output */
function loudLines(output) {
  return output.split("\n").filter((line) => line.includes("NOT RUN") || line.includes("To run them"));
}
