// Devices that come and go with a load that swells and ebbs, beside as many as there may be, always.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { percent, quantile, table } from "./output.mjs";
import { UsageError } from "./options.mjs";

/**
 * @typedef {import("../../packages/gpu-pool/src/sim/index.ts").SimulationResult} Result
 */

/**
 * @param {import("./run.mjs").Library} library
 * @param {import("./options.mjs").Options} options
 * @param {import("./run.mjs").Output} output
 */
export function autoscale({ sim, pool }, options, output) {
  const { scenario, shares, gpus, waveMs, out } = options;
  const { rate = 2_500 } = options;
  if (rate === "search") throw new UsageError("--rate must be a number beside --autoscale");
  const trace = sim.drawTrace({
    count: Math.round((rate * waveMs * 3) / 1_000),
    ratePerSecond: rate,
    seed: 1,
    shares,
    wave: { periodMs: waveMs, depth: 0.9 },
  });
  const fixed = simulated({ sim, pool }, options, trace, false);
  const scaled = simulated({ sim, pool }, options, trace, true);
  output.log(`\n${rate} requests per second on average, 0.1 to 1.9 times that every ${waveMs / 1_000} s\n`);
  const rows = /** @type {[string, Result][]} */ ([
    [`${gpus} devices, always`, fixed],
    ["autoscaled", scaled],
  ]);
  const lines = table([
    ["", "in time", "paid devices", "p99 ms", "changes"],
    ...rows.map(([name, result]) => [
      name,
      percent(result.goodShare),
      (result.paidMs / result.spanMs).toFixed(2),
      quantile(result.latencies, 0.99).toFixed(1),
      String(result.scaling.length),
    ]),
  ]);
  for (const line of lines) output.log(line);
  if (out === undefined) return;
  mkdirSync(out, { recursive: true });
  const file = join(out, "autoscale.svg");
  writeFileSync(file, chart(sim, scenario, trace, scaled));
  output.log(`written: ${file}`);
}

/**
 * @param {import("./run.mjs").Library} library
 * @param {import("./options.mjs").Options} options
 * @param {import("../../packages/gpu-pool/src/sim/index.ts").Trace} trace
 * @param {boolean} isScaled
 * @returns {Result}
 */
function simulated({ sim, pool }, { scenario, gpus, bootMs }, trace, isScaled) {
  const { models } = scenario;
  const scheduler = new pool.Scheduler({
    models: models.map(({ key, sloMs, times }) => ({
      key,
      times,
      maxBatch: Math.max(1, Math.floor((sloMs - times.fixedMs) / times.perItemMs)),
    })),
    queueLimit: 1_000_000,
  });
  const options = {
    min: 1,
    max: gpus,
    slotsEach: 1,
    targetUse: 0.75,
    bootMs,
    windowMs: 5_000,
    cooldownMs: 15_000,
    downAfterMs: 15_000,
    zeroAfterMs: 60_000,
  };
  return sim.simulate({
    scheduler,
    trace,
    models,
    devices: isScaled ? [] : sim.simulatedDevices(gpus),
    ...(isScaled ? { autoscale: { options, work: scheduler, device: { capacity: 1 }, bootMs } } : {}),
  });
}

/**
 * @param {typeof import("../../packages/gpu-pool/src/sim/index.ts")} sim
 * @param {import("../../packages/gpu-pool/src/sim/index.ts").Scenario} scenario
 * @param {import("../../packages/gpu-pool/src/sim/index.ts").Trace} trace
 * @param {Result} scaled
 */
function chart(sim, { models }, trace, scaled) {
  const up = /** @type {[number, number][]} */ ([[0, 0]]);
  const paid = /** @type {[number, number][]} */ ([[0, 0]]);
  for (const point of [...scaled.scaling, { at: scaled.spanMs, up: -1, coming: 0 }]) {
    const [, before] = /** @type {[number, number]} */ (up.at(-1));
    const [, paidBefore] = /** @type {[number, number]} */ (paid.at(-1));
    up.push([point.at / 1_000, before]);
    paid.push([point.at / 1_000, paidBefore]);
    if (point.up < 0) continue;
    up.push([point.at / 1_000, point.up]);
    paid.push([point.at / 1_000, point.up + point.coming]);
  }
  // What arrives, second by second, in devices at full batches.
  const arrived = Array.from({ length: Math.ceil(scaled.spanMs / 1_000) }, () => 0);
  for (const time of trace.times) {
    const second = Math.min(arrived.length - 1, Math.floor(time / 1_000));
    arrived[second] = (arrived[second] ?? 0) + 1;
  }
  const [{ sloMs, times }] =
    /** @type {[import("../../packages/gpu-pool/src/sim/index.ts").SimulatedModel]} */ (models);
  const perDevice = sim.goodputBounds(times, sloMs, 1).cap;
  return sim.lineChart({
    title: "Devices that come and go with the work; load at full batches",
    x: "seconds",
    y: "devices",
    lines: [
      { name: "load", points: arrived.map((count, second) => [second, count / perDevice]) },
      { name: "up", points: up },
      { name: "paid for", points: paid },
    ],
  });
}
