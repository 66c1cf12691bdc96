// `node tools/tidy/cli.mjs` holds the repository against the rules of the house. `--root=<folder>` checks another one.
import { fileURLToPath } from "node:url";
import { houseRules } from "./rules.mjs";
import { diskTree } from "./tree.mjs";

const root =
  process.argv.find((one) => one.startsWith("--root="))?.slice(7) ??
  fileURLToPath(new URL("../..", import.meta.url));
const tree = diskTree(root);
const rules = houseRules();
let broken = 0;
for (const { name, check } of rules) {
  for (const { file, line, message, warning } of check(tree)) {
    if (warning !== true) broken += 1;
    const at = line === undefined ? file : `${file}:${line}`;
    console.log(`${warning === true ? "warning" : "error"} ${at} [${name}] ${message}`);
  }
}
console.log(`house: ${rules.length} rules, ${tree.files.length} files, ${broken} broken`);
if (broken > 0) process.exitCode = 1;
