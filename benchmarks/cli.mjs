// `npm run bench -- <suite> [--quick]`: measures Holdfast and its peers side by side, prints and writes the figures.
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { measureRow } from "./lib/measure.mjs";
import { installPeers } from "./lib/peers.mjs";
import { printHeader, printRow, printSummary, toResult, writeResult } from "./lib/report.mjs";

const here = import.meta.dirname;
process.exitCode = await main(process.argv.slice(2));
// A peer may have left a timer behind that would hold the process for minutes.
process.exit();

async function main(args) {
  const quick = args.includes("--quick");
  const [suite = "core", ...unknown] = args.filter((argument) => argument !== "--quick");
  const suites = readdirSync(join(here, "suites")).map((file) => file.replace(/\.mjs$/, ""));
  if (!suites.includes(suite) || unknown.length > 0) {
    console.error(`usage: npm run bench -- <suite> [--quick]\nsuites: ${suites.join(", ")}`);
    return 2;
  }
  if (!existsSync(join(here, "../packages/core/dist/index.js"))) {
    console.error("packages/core is not built: run `npm run build` first");
    return 1;
  }
  installPeers(here);

  const { rows } = await import(`./suites/${suite}.mjs`);
  printHeader(suite, quick);
  const measured = [];
  for (const row of rows) {
    const values = await (row.measure ?? measureRow)(row, quick);
    const result = toResult(row, values);
    measured.push(result);
    printRow(result);
  }
  // A quick run is a look, not a record.
  const file = quick ? undefined : writeResult(here, suite, measured);
  printSummary(measured, file);
  return 0;
}
