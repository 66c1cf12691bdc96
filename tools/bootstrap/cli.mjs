// `npm start`, `npm test` and their like: prepares a fresh clone, then runs what was asked for.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { prepare, PrepareError } from "./prepare.mjs";
import { runAttached } from "./run-command.mjs";
import { root } from "./workspace.mjs";

/** @type {ReadonlyMap<string, readonly string[]>} Command → script and its arguments, run once everything is built. */
const COMMANDS = new Map([
  ["start", ["examples/inference/dist/main.js"]],
  ["test", ["tools/run/cli.mjs"]],
  ["test:fast", ["tools/run/cli.mjs", "--fast"]],
  ["test:nodes", ["tools/nodes/cli.mjs"]],
  ["bench", ["benchmarks/cli.mjs"]],
  ["build", []],
]);

const [command = "", ...args] = process.argv.slice(2);
process.exitCode = await main();

async function main() {
  const script = COMMANDS.get(command);
  if (script === undefined) {
    console.error(`unknown command "${command}"; one of ${[...COMMANDS.keys()].join(", ")}`);
    return 2;
  }
  if (!isSupported(process.versions.node)) {
    console.error(
      `Holdfast needs Node 20.19 or newer; this is ${process.version}. Get one from https://nodejs.org`,
    );
    return 2;
  }
  try {
    await prepare();
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    return error instanceof PrepareError ? error.exitCode : 1;
  }
  const [file, ...own] = script;
  if (file === undefined) return 0;
  if (!existsSync(join(root, file))) {
    console.error(`${file} does not exist, although everything is built: nothing to run for "${command}"`);
    return 1;
  }
  return runAttached(process.execPath, [join(root, file), ...own, ...args]);
}

/** @param {string} version */
function isSupported(version) {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  return major > 20 || (major === 20 && minor >= 19);
}
