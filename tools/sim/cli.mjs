// `npm run sim -- [options]`: compares schedulers in a simulated pool of GPUs; prints a table, writes charts.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { run } from "./run.mjs";

const dist = fileURLToPath(new URL("../../packages/gpu-pool/dist", import.meta.url));
if (existsSync(join(dist, "sim.js"))) {
  /** @param {string} file */
  const built = (file) => import(pathToFileURL(join(dist, file)).href);
  const library = { sim: await built("sim.js"), pool: await built("index.js") };
  process.exitCode = await run(process.argv.slice(2), library, console);
} else {
  console.error("packages/gpu-pool is not built: run `npm run build` first");
  process.exitCode = 1;
}
