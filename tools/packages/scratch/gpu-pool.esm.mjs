// Uses @holdfast/gpu-pool from an ES module, with a real worker thread.
import { gpuPool } from "@holdfast/gpu-pool";
import { goodputBounds } from "@holdfast/gpu-pool/sim";
import { workerThreads } from "@holdfast/gpu-pool/worker-threads";
import assert from "node:assert/strict";

const workers = workerThreads({ module: new URL("gpu-pool-worker.mjs", import.meta.url), count: 1 });
const pool = gpuPool({ workers, models: [{ name: "double" }] });
assert.equal(await pool.run("double", 21), 42);
await pool.close({ within: "1s" });
assert.equal(Math.round(goodputBounds({ perItemMs: 1.082, fixedMs: 5.204 }, 25, 8).staggered), 5599);
