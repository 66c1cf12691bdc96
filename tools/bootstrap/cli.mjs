// `npm start`, `npm test` and their like: prepares a fresh clone, then runs what was asked for.
import { join } from "node:path";
import { prepare } from "./prepare.mjs";
import { runAttached } from "./run-command.mjs";
import { root } from "./workspace.mjs";

/** Command → script it runs, once everything is installed and built. */
const COMMANDS = new Map([
  ["start", "examples/inference/dist/main.js"],
  ["test", "tools/run/cli.mjs"],
  ["test:fast", "tools/run/cli.mjs --fast"],
  ["test:nodes", "tools/nodes/cli.mjs"],
  ["bench", "benchmarks/cli.mjs"],
  ["build", ""],
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
    console.error(`Holdfast needs Node 20.19 or newer; this is ${process.version}.`);
    return 2;
  }
  try {
    await prepare();
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    return 1;
  }
  if (script === "") return 0;
  const [file = "", ...own] = script.split(" ");
  return runAttached(process.execPath, [join(root, file), ...own, ...args]);
}

/** @param {string} version */
function isSupported(version) {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  return major > 20 || (major === 20 && minor >= 19);
}
