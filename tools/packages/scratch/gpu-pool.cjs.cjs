// Uses @holdfast/gpu-pool from CommonJS, which Node ≥ 20.19 allows.
const assert = require("node:assert/strict");
const { GPU_POOL_DEFAULTS, gpuPool } = require("@holdfast/gpu-pool");

assert.equal(typeof gpuPool, "function");
assert.equal(typeof GPU_POOL_DEFAULTS, "object");
