// `node tools/packages/cli.mjs` checks what npm would publish; `--update` rewrites the committed file lists.
import { mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { fileListFaults } from "./file-list.mjs";
import { publintFaults, typesFaults } from "./lint.mjs";
import { packBuilt } from "./pack.mjs";
import { entryFaults, installApp, programFaults } from "./scratch.mjs";
import { gzippedSize } from "./size.mjs";

const here = fileURLToPath(new URL(".", import.meta.url));
const packages = join(here, "../../packages");
const update = process.argv.includes("--update");
const app = realpathSync(mkdtempSync(join(tmpdir(), "scratch-app-")));
/** @type {string[]} */
const faults = [];

try {
  const packed = [];
  for (const name of readdirSync(packages).sort()) {
    const one = await packBuilt(join(packages, name), app).catch((error) => {
      faults.push(error.message);
    });
    if (one === undefined) continue;
    packed.push(one);
    const types = await typesFaults(one);
    const found = [
      ...(await publintFaults(one)),
      ...types.faults,
      ...fileListFaults(one.files, join(here, "snapshots", `${name}.txt`), update),
    ];
    faults.push(...found.map((fault) => `${one.name}: ${fault}`));
    console.log(
      `${one.name}: ${one.files.length} files, ${types.ignored} remarks on node10 and node16-cjs ignored`,
    );
  }

  await installApp(app, packed);
  /** @type {import("./size.mjs").Budget[]} */
  const budgets = JSON.parse(readFileSync(join(here, "budgets.json"), "utf8"));
  for (const budget of budgets) {
    const bytes = await gzippedSize(budget, app);
    const text = `{ ${budget.use} } from ${budget.from}: ${bytes} of ${budget.bytes} bytes gzipped`;
    console.log(bytes > budget.target ? `${text}, short of the ${budget.target} aimed at` : text);
    if (bytes > budget.bytes) faults.push(`over its size budget: ${text}`);
  }
  faults.push(...(await entryFaults(app, packed)));
  faults.push(
    ...(await programFaults(
      app,
      packed.map(({ folder }) => folder.split(/[\\/]/).pop() ?? ""),
    )),
  );
} catch (error) {
  faults.push(error instanceof Error ? error.message : String(error));
} finally {
  rmSync(app, { recursive: true, force: true });
}

for (const fault of faults) console.log(fault);
console.log(`packages: ${faults.length} faults`);
if (faults.length > 0) process.exitCode = 1;
