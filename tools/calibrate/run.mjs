// One calibration: the line of a model's batch times, what the simulator makes of it, and what the pool really reaches.
import { writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { measuredGoodput } from "./measured-goodput.mjs";
import { readOptions, USAGE, UsageError } from "./options.mjs";
import { profileOf } from "./profile.mjs";

/**
 * @typedef {object} Library
 * @property {typeof import("../../packages/gpu-pool/src/index.ts")} pool
 * @property {typeof import("../../packages/gpu-pool/src/sim/index.ts")} sim
 * @property {typeof import("../../packages/gpu-pool/src/discovery/index.ts")} discovery
 * @property {typeof import("../../packages/gpu-pool/src/child-processes/index.ts")} processes
 * @typedef {object} Output
 * @property {(line: string) => void} log
 * @property {(line: string) => void} error
 */

/**
 * Answers the exit code. What was asked wrongly is said in a line.
 *
 * @param {string[]} args
 * @param {Library} library
 * @param {Output} output
 */
export async function run(args, library, output) {
  try {
    const options = readOptions(args);
    if (options === undefined) output.log(USAGE);
    else await calibrate(options, library, output);
    return 0;
  } catch (error) {
    const { code, message } = /** @type {Error & { code?: unknown }} */ (error);
    if (!(error instanceof UsageError) && code !== "INVALID_OPTION") throw error;
    output.error(message);
    return 1;
  }
}

/**
 * @param {import("./options.mjs").Options} options
 * @param {Library} library
 * @param {Output} output
 */
async function calibrate(options, { pool, sim, discovery, processes }, output) {
  const { module, model: name, input, sloMs, maxBatch, seconds } = options;
  const found = options.devices === "cpu" ? discovery.cpuDevices() : await discovery.nvidiaDevices();
  if (found.length === 0) throw new UsageError("nvidia-smi finds no GPU here: try --devices cpu");
  const devices = found.slice(0, options.count);
  const workers = processes.childProcesses({
    module: pathToFileURL(module),
    devices,
    env: (device) => ("uuid" in device ? { CUDA_VISIBLE_DEVICES: String(device.uuid) } : {}),
  });
  output.log(`model ${name} on ${devices.length} × ${devices[0]?.type}, batches of up to ${maxBatch}`);

  const profile = await profileOf(workers, name, { maxBatch, input });
  for (const { size, ms } of profile.points) output.log(`  a batch of ${size}: ${ms.toFixed(3)} ms`);
  const { perItemMs, fixedMs, deviation } = profile;
  output.log(
    `α ${perItemMs.toFixed(4)} ms, β ${fixedMs.toFixed(3)} ms; p99 of measured ÷ fitted ${deviation.toFixed(2)}`,
  );
  if (perItemMs + fixedMs > sloMs)
    throw new UsageError(`one request takes longer than --slo ${sloMs}: say what can be kept`);

  const times = { perItemMs, fixedMs };
  const upTo = (devices.length * 2_000 * maxBatch) / (perItemMs * maxBatch + fixedMs);
  /** @param {number} jitter */
  const predicted = (jitter) => {
    const models = [{ key: `${name}@1`, times, sloMs }];
    const scenario = { models, devices: sim.simulatedDevices(devices.length), count: 5_000, jitter };
    return sim.goodputOf(scenario, "holdfast", 1, upTo);
  };
  const exact = predicted(0);
  const jittered = predicted(Math.max(0, deviation - 1));
  output.log(`goodput at 99 % within ${sloMs} ms, in requests per second`);
  output.log(`  simulated, batches take what the line says   ${Math.round(exact)}`);
  output.log(`  simulated, batches take up to p99 of it      ${Math.round(jittered)}`);

  const measured = await measuredGoodput(pool.gpuPool, workers, {
    model: { name, maxBatch, times },
    input,
    sloMs,
    seconds,
    expected: exact,
  });
  output.log(`  measured in the pool on the real clock       ${Math.round(measured.goodput)}`);
  for (const { rate, goodShare } of measured.runs)
    output.log(`    ${Math.round(rate)} per second: ${(goodShare * 100).toFixed(2)} % in time`);
  const { fitted } = measured;
  output.log(
    `the pool itself has found α ${fitted.perItemMs.toFixed(4)} ms, β ${fitted.fixedMs.toFixed(3)} ms, margin ${fitted.margin.toFixed(2)}`,
  );
  if (options.json !== undefined) {
    const report = {
      model: name,
      devices,
      sloMs,
      maxBatch,
      profile,
      simulated: { exact, jittered },
      measured,
    };
    writeFileSync(options.json, `${JSON.stringify(report, undefined, 2)}\n`);
  }
}
