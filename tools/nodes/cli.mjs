// `node tools/nodes/cli.mjs [20 22 …]` runs the tests of the built packages on each supported Node.
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { nodeBinary, versionOf } from "./binary.mjs";

const root = fileURLToPath(new URL("../..", import.meta.url));
const vitest = join(root, "node_modules/vitest/vitest.mjs");
// Types do not depend on the Node that checks them; tests of the tools only run on the Node of developers.
const projects = ["unit", "property", "integration"].map((project) => `--project=${project}`);
const named = process.argv
  .slice(2)
  .filter((one) => /^\d+$/.test(one))
  .map(Number);
const others = process.argv.slice(2).filter((one) => !/^\d+$/.test(one));

/** @type {string[]} */
const outcomes = [];
for (const major of named.length > 0 ? named : [20, 22, 24, 26]) outcomes.push(outcomeOn(major));
console.log(outcomes.join("\n"));
if (outcomes.some((outcome) => !outcome.endsWith("passed"))) process.exitCode = 1;

/** @param {number} major */
function outcomeOn(major) {
  if (!existsSync(join(root, "packages/core/dist/index.js")))
    return `Node ${major}: not built, run \`npm run build\``;
  try {
    const binary = nodeBinary(join(root, ".cache/nodes"), major);
    console.log(`\nNode ${versionOf(binary)}`);
    const { status } = spawnSync(
      binary,
      [vitest, "run", ...projects, ...(others.length > 0 ? others : ["packages/"])],
      {
        cwd: root,
        stdio: "inherit",
        env: {
          ...process.env,
          HOLDFAST_TEST_DIST: "1",
          PATH: `${dirname(binary)}${delimiter}${process.env["PATH"]}`,
        },
      },
    );
    return `Node ${versionOf(binary)}: ${status === 0 ? "passed" : "failed"}`;
  } catch (error) {
    return `Node ${major}: ${error instanceof Error ? error.message : String(error)}`;
  }
}
