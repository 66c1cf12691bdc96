// `npm run sim -- [options]`: compares schedulers in a simulated pool of GPUs; prints a table, writes charts.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { parseArgs } from "node:util";

const USAGE = `npm run sim -- [options]

  --models 1             how many models
  --zipf 0               shares by rank: the k-th gets 1 ÷ k^this; 0: all the same
  --gpus 8               how many devices
  --slo 25               how long a request may take, in milliseconds
  --alpha 1.082          milliseconds each request of a batch takes
  --beta 5.204           milliseconds each batch takes
  --gamma 0.1            bursts: gamma-distributed gaps of this shape; without it, Poisson
  --trace requests.csv   replays lines of "time in ms, model" instead (models model-0, model-1, …)
  --requests 40000       requests in a run
  --seeds 5              runs with other draws
  --policies a,b         of clipper, triton, nexus, clockwork, shepherd, eager, symphony, holdfast
  --load 0.8             the load at which times and busy devices are shown, as a share of the staggered bound
  --jitter 0             batches take up to this share longer
  --mtbf 0               milliseconds after which a device fails, on average; 0: never. It is away for 1 s
  --autoscale            instead: devices that come and go with a load that swells and ebbs, up to --gpus of them
  --wave 120000          the period of that load, in milliseconds
  --boot 10000           how long a device takes from its order until it is up
  --rate 2500            requests per second on average; at the peak it is nearly twice that
  --out folder           where charts are written; without it, none are
`;

const root = fileURLToPath(new URL("../..", import.meta.url));
process.exitCode = await main(process.argv.slice(2));

/** @param {string[]} args */
async function main(args) {
  const text = /** @type {const} */ ({ type: "string" });
  const names = USAGE.match(/(?<=--)[a-z]+/g) ?? [];
  const parsed = parseArgs({
    args,
    options: {
      ...Object.fromEntries(names.map((name) => [name, text])),
      autoscale: { type: "boolean" },
      help: { type: "boolean" },
    },
  });
  /** @type {Record<string, any>} */
  const given = parsed.values;
  if (given["help"]) {
    console.log(USAGE);
    return 0;
  }
  const entry = join(root, "packages/gpu-pool/dist/sim.js");
  if (!existsSync(entry)) {
    console.error("packages/gpu-pool is not built: run `npm run build` first");
    return 1;
  }
  /** @type {typeof import("../../packages/gpu-pool/src/sim/index.ts")} */
  const sim = await import(pathToFileURL(entry).href);
  const number = (/** @type {string} */ name, /** @type {number} */ standard) => {
    const value = given[name] === undefined ? standard : Number(given[name]);
    if (!Number.isFinite(value) || value < 0) throw new RangeError(`--${name} must be a number from 0`);
    return value;
  };
  const gpus = number("gpus", 8);
  const sloMs = number("slo", 25);
  const times = { perItemMs: number("alpha", 1.082), fixedMs: number("beta", 5.204) };
  const models = Array.from({ length: number("models", 1) }, (_, index) => ({
    key: `model-${index}`,
    times,
    sloMs,
  }));
  const shares = sim.zipfShares(models.length, number("zipf", 0));
  const scenario = {
    models,
    shares,
    devices: sim.simulatedDevices(gpus),
    count: number("requests", 40_000),
    jitter: number("jitter", 0),
    ...(given["gamma"] === undefined ? {} : { gaps: { gammaShape: number("gamma", 1) } }),
    ...(number("mtbf", 0) > 0 ? { failures: { everyMs: number("mtbf", 0), forMs: 1_000 } } : {}),
    ...(given["trace"] === undefined
      ? {}
      : {
          trace: sim.traceFromCsv(
            readFileSync(given["trace"], "utf8"),
            models.map(({ key }) => key),
          ),
        }),
  };
  if (given["autoscale"]) return autoscale(sim, { number, models, shares, times, gpus, out: given["out"] });
  const bounds = sim.goodputBounds(times, sloMs, gpus);
  const upTo = (gpus * 1_000) / times.perItemMs;
  const seeds = Array.from({ length: number("seeds", 5) }, (_, index) => index + 1);
  const policies = /** @type {import("../../packages/gpu-pool/src/sim/index.ts").PolicyName[]} */ (
    given["policies"]?.split(",") ?? Object.keys(sim.POLICIES)
  );
  for (const policy of policies)
    if (!(policy in sim.POLICIES)) throw new RangeError(`--policies: no policy "${policy}"`);
  const load = number("load", 0.8) * bounds.staggered;

  const progress = bar(policies.length * (seeds.length + 1));
  const rows = policies.map((policy) => {
    const found = seeds.map((seed) => {
      const rate = sim.goodputOf(scenario, policy, seed, upTo);
      progress(`${policy}, seed ${seed}`);
      return rate;
    });
    const at = sim.runScenario(scenario, policy, load, 1, true);
    progress(`${policy} at ${Math.round(load)} rps`);
    return { policy, found, at };
  });
  progress.end();

  printTable(rows, bounds, load);
  if (given["out"] !== undefined) writeCharts(sim, given["out"], scenario, rows, bounds, load);
  return 0;
}

/**
 * @param {typeof import("../../packages/gpu-pool/src/sim/index.ts")} sim
 * @param {{
 *   number: (name: string, standard: number) => number,
 *   models: import("../../packages/gpu-pool/src/sim/index.ts").SimulatedModel[],
 *   shares: readonly number[],
 *   times: { perItemMs: number, fixedMs: number },
 *   gpus: number,
 *   out: string | undefined,
 * }} setup
 */
async function autoscale(sim, { number, models, shares, times, gpus, out }) {
  /** @type {typeof import("../../packages/gpu-pool/src/index.ts")} */
  const { Scheduler } = await import(pathToFileURL(join(root, "packages/gpu-pool/dist/index.js")).href);
  const periodMs = number("wave", 120_000);
  const rate = number("rate", 2_500);
  const bootMs = number("boot", 10_000);
  const trace = sim.drawTrace({
    count: Math.round((rate * periodMs * 3) / 1_000),
    ratePerSecond: rate,
    seed: 1,
    shares,
    wave: { periodMs, depth: 0.9 },
  });
  const run = (/** @type {boolean} */ isScaled) => {
    const scheduler = new Scheduler({
      models: models.map(({ key, sloMs }) => ({
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
  };
  const fixed = run(false);
  const scaled = run(true);
  console.log(
    `\n${rate} requests per second on average, 0.1 to 1.9 times that every ${periodMs / 1_000} s\n`,
  );
  const line = (/** @type {string[]} */ cells) =>
    console.log(cells.map((cell, index) => (index === 0 ? cell.padEnd(24) : cell.padStart(14))).join(""));
  line(["", "in time", "paid devices", "p99 ms", "changes"]);
  for (const [name, result] of /** @type {const} */ ([
    [`${gpus} devices, always`, fixed],
    ["autoscaled", scaled],
  ]))
    line([
      name,
      percent(result.goodShare),
      (result.paidMs / result.spanMs).toFixed(2),
      quantile(result.latencies, 0.99).toFixed(1),
      String(result.scaling.length),
    ]);
  if (out === undefined) return 0;
  mkdirSync(out, { recursive: true });
  const at = /** @type {[number, number][]} */ ([[0, 0]]);
  const paid = /** @type {[number, number][]} */ ([[0, 0]]);
  for (const point of [...scaled.scaling, { at: scaled.spanMs, up: -1, coming: 0 }]) {
    const [, before] = /** @type {[number, number]} */ (at.at(-1));
    const [, paidBefore] = /** @type {[number, number]} */ (paid.at(-1));
    at.push([point.at / 1_000, before]);
    paid.push([point.at / 1_000, paidBefore]);
    if (point.up < 0) continue;
    at.push([point.at / 1_000, point.up]);
    paid.push([point.at / 1_000, point.up + point.coming]);
  }
  // What arrives, second by second, in devices at full batches.
  const arrived = Array.from({ length: Math.ceil(scaled.spanMs / 1_000) }, () => 0);
  for (const time of trace.times) {
    const second = Math.min(arrived.length - 1, Math.floor(time / 1_000));
    arrived[second] = (arrived[second] ?? 0) + 1;
  }
  const [{ sloMs }] = /** @type {[import("../../packages/gpu-pool/src/sim/index.ts").SimulatedModel]} */ (
    models
  );
  const perDevice = sim.goodputBounds(times, sloMs, 1).cap;
  const file = join(out, "autoscale.svg");
  writeFileSync(
    file,
    sim.lineChart({
      title: "Devices that come and go with the work; load at full batches",
      x: "seconds",
      y: "devices",
      lines: [
        {
          name: "load",
          points: arrived.map((count, second) => [second, count / perDevice]),
        },
        { name: "up", points: at },
        { name: "paid for", points: paid },
      ],
    }),
  );
  console.log(`written: ${file}`);
  return 0;
}

/**
 * @param {{ policy: string, found: number[], at: import("../../packages/gpu-pool/src/sim/index.ts").SimulationResult }[]} rows
 * @param {import("../../packages/gpu-pool/src/sim/index.ts").GoodputBounds} bounds
 * @param {number} load
 */
function printTable(rows, bounds, load) {
  const best = Math.max(...rows.map(({ found }) => mean(found)));
  console.log(
    `\ngoodput: requests per second of which 99 % end in time, mean and range over seeds\nat ${load.toFixed(0)} rps: times of what ended, and how many devices were busy\n`,
  );
  const line = (/** @type {string[]} */ cells) =>
    console.log(cells.map((cell, index) => (index === 0 ? cell.padEnd(16) : cell.padStart(14))).join(""));
  line(["", "goodput", "range", "of staggered", "in time", "p50 ms", "p99 ms", "busy", "batch"]);
  for (const [name, value] of Object.entries(bounds))
    line([name, value.toFixed(0), "", percent(value / bounds.staggered), "", "", "", "", ""]);
  for (const { policy, found, at } of rows) {
    const goodput = mean(found);
    line([
      goodput === best ? `${policy} *` : policy,
      goodput.toFixed(0),
      `${Math.min(...found).toFixed(0)}–${Math.max(...found).toFixed(0)}`,
      percent(goodput / bounds.staggered),
      percent(at.goodShare),
      quantile(at.latencies, 0.5).toFixed(1),
      quantile(at.latencies, 0.99).toFixed(1),
      at.busyDevices.toFixed(2),
      at.meanBatch.toFixed(1),
    ]);
  }
}

/**
 * @param {typeof import("../../packages/gpu-pool/src/sim/index.ts")} sim
 * @param {string} folder
 * @param {import("../../packages/gpu-pool/src/sim/index.ts").Scenario} scenario
 * @param {{ policy: string, at: import("../../packages/gpu-pool/src/sim/index.ts").SimulationResult }[]} rows
 * @param {import("../../packages/gpu-pool/src/sim/index.ts").GoodputBounds} bounds
 * @param {number} load
 */
function writeCharts(sim, folder, scenario, rows, bounds, load) {
  mkdirSync(folder, { recursive: true });
  const loads = Array.from({ length: 12 }, (_, index) => ((index + 1) / 10) * bounds.staggered);
  const progress = bar(rows.length * loads.length);
  const lines = rows.map(({ policy }) => ({
    name: policy,
    points: loads.map((rate) => {
      const result = sim.runScenario(scenario, /** @type {any} */ (policy), rate, 1);
      progress(`${policy} at ${Math.round(rate)} rps`);
      return /** @type {[number, number]} */ ([rate, rate * result.goodShare]);
    }),
  }));
  progress.end();
  const write = (/** @type {string} */ name, /** @type {string} */ svg) => {
    writeFileSync(join(folder, name), svg);
    console.log(`written: ${join(folder, name)}`);
  };
  write(
    "goodput.svg",
    sim.lineChart({
      title: "Requests that end in time",
      x: "arriving, per second",
      y: "in time, per second",
      lines,
      mark: { name: "staggered bound", x: bounds.staggered },
    }),
  );
  write(
    "latency.svg",
    sim.lineChart({
      title: `How long requests took, at ${load.toFixed(0)} rps`,
      x: "milliseconds",
      y: "share of what ended, %",
      lines: rows.map(({ policy, at }) => sim.latencyLine(policy, at.latencies)),
    }),
  );
  for (const { policy, at } of rows)
    write(
      `timeline-${policy}.svg`,
      sim.timelineChart(`${policy}: batches on devices`, at.timeline, at.spanMs / 2, at.spanMs / 2 + 200),
    );
}

/** @param {number} total */
function bar(total) {
  let done = 0;
  const isShown = process.stderr.isTTY;
  const step = (/** @type {string} */ what) => {
    done += 1;
    if (!isShown) return;
    const filled = Math.round((done / total) * 30);
    process.stderr.write(
      `\r\x1b[2K[${"#".repeat(filled)}${".".repeat(30 - filled)}] ${done}/${total} ${what}`,
    );
  };
  step.end = () => {
    if (isShown) process.stderr.write("\r\x1b[2K");
  };
  return step;
}

/** @param {Float64Array} sorted @param {number} q */
function quantile(sorted, q) {
  return sorted[Math.max(0, Math.ceil(sorted.length * q) - 1)] ?? NaN;
}

/** @param {number[]} values */
function mean(values) {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** @param {number} share */
function percent(share) {
  return `${(share * 100).toFixed(1)} %`;
}
