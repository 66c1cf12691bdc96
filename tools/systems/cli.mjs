// `node tools/systems/cli.mjs` writes docs/systems.md; with `--check` it fails when that file is stale.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { collect, readRows } from "./collect.mjs";
import { faultsOf, matrixOf } from "./matrix.mjs";

const check = process.argv.includes("--check");
const root = resolve(
  process.argv.find((one) => one.startsWith("--root="))?.slice(7) ??
    fileURLToPath(new URL("../..", import.meta.url)),
);
const rows = readRows();
const { tags, faults } = collect(root);
const wrong = [...faults, ...faultsOf(rows, tags)];
const target = join(root, "docs/systems.md");
const text = matrixOf(rows, tags);

if (wrong.length > 0) fail(wrong.join("\n"));
else if (!check) writeFileSync(target, text);
else if (!existsSync(target) || readFileSync(target, "utf8") !== text)
  fail("docs/systems.md is stale: run `npm run docs:systems` and commit it");
const shown = new Set(tags.flatMap((tag) => tag.rows)).size;
if (wrong.length === 0) console.log(`systems: ${shown} of ${rows.length} rows shown by a test`);

/** @param {string} reason */
function fail(reason) {
  console.error(reason);
  process.exitCode = 1;
}
