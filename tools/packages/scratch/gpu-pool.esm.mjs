// Uses @holdfast/gpu-pool from an ES module, with a real worker thread.
import { gpuPool, modelRegistry } from "@holdfast/gpu-pool";
import { fileModelStore } from "@holdfast/gpu-pool/file";
import { goodputBounds } from "@holdfast/gpu-pool/sim";
import { workerThreads } from "@holdfast/gpu-pool/worker-threads";
import assert from "node:assert/strict";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const workers = workerThreads({ module: new URL("gpu-pool-worker.mjs", import.meta.url), count: 1 });
const pool = gpuPool({ workers, models: [{ name: "double" }] });
assert.equal(await pool.run("double", 21), 42);
await pool.close({ within: "1s" });
assert.equal(Math.round(goodputBounds({ perItemMs: 1.082, fixedMs: 5.204 }, 25, 8).staggered), 5599);

const path = join(mkdtempSync(join(tmpdir(), "scratch-")), "models.jsonl");
const registry = modelRegistry({ store: await fileModelStore({ path }) });
await registry.register({ name: "double", version: "1" });
assert.equal((await registry.moveAlias("double@stable", "1")).moved, true);
await registry.close();
