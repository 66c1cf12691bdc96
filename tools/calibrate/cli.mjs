// `npm run calibrate -- [options]`: measures a real model on real devices, and says how far the simulator's word holds there.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { run } from "./run.mjs";

const dist = fileURLToPath(new URL("../../packages/gpu-pool/dist", import.meta.url));
if (existsSync(join(dist, "sim.js"))) {
  /** @param {string} file */
  const built = (file) => import(pathToFileURL(join(dist, file)).href);
  const [pool, sim, discovery, processes] = await Promise.all(
    ["index.js", "sim.js", "discovery.js", "child-processes.js"].map(built),
  );
  process.exitCode = await run(process.argv.slice(2), { pool, sim, discovery, processes }, console);
} else {
  console.error("packages/gpu-pool is not built: run `npm run build` first");
  process.exitCode = 1;
}
