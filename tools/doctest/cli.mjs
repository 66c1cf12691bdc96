// `node tools/doctest/cli.mjs [file …]` checks and runs the examples of all documents and doc comments.
import { readFileSync, rmSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { checkTypes } from "./check-types.mjs";
import { documentsIn } from "./documents.mjs";
import { extract } from "./extract.mjs";
import { runExample } from "./run-example.mjs";

const args = process.argv.slice(2);
const root = resolve(
  args.find((one) => one.startsWith("--root="))?.slice(7) ?? fileURLToPath(new URL("../..", import.meta.url)),
);
const limitMs = Number(args.find((one) => one.startsWith("--limit-ms="))?.slice(11) ?? 15_000);
const only = args.filter((one) => !one.startsWith("--"));
const files = documentsIn(root).filter((file) => only.length === 0 || only.includes(file));
const extracted = files.map((file) => extract(file, readFileSync(join(root, file), "utf8")));
const examples = extracted.flatMap((one) => one.examples);
const faults = [...extracted.flatMap((one) => one.faults), ...checkTypes(root, examples)];

const folder = join(root, ".cache", "doctest", String(process.pid));
const runnable = examples.filter(({ runs }) => runs);
const waiting = [...runnable.entries()];
await Promise.all(
  Array.from({ length: Math.min(4, availableParallelism()) }, async () => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift())
      faults.push(...(await runExample(folder, ...next, limitMs)));
  }),
);
rmSync(folder, { recursive: true, force: true });

for (const fault of faults.sort()) console.log(fault);
const checked = examples.length - runnable.length;
console.log(`doc examples: ${runnable.length} run, ${checked} only type-checked, ${faults.length} faults`);
if (faults.length > 0) process.exitCode = 1;
