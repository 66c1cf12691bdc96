// Policies side by side in one scenario: a table, and charts.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { bar, mean, percent, quantile, table } from "./output.mjs";

/**
 * @typedef {typeof import("../../packages/gpu-pool/src/sim/index.ts")} Sim
 * @typedef {import("../../packages/gpu-pool/src/sim/index.ts").GoodputBounds} Bounds
 * @typedef {object} Row
 * @property {import("../../packages/gpu-pool/src/sim/index.ts").PolicyName} policy
 * @property {number[]} found Goodput of each seed; none where it was not searched for.
 * @property {import("../../packages/gpu-pool/src/sim/index.ts").ScenarioResult} at
 */

/**
 * @param {Sim} sim
 * @param {import("./options.mjs").Options} options
 * @param {import("./run.mjs").Output} output
 */
export function compare(sim, options, output) {
  const { scenario, policies, seeds, gpus, rate, out } = options;
  const isOneRun = rate === undefined ? scenario.trace !== undefined : rate !== "search";
  const bounds = boundsOf(sim, options);
  const least = Math.min(...scenario.models.map(({ times }) => times.perItemMs));
  const upTo = (gpus * 1_000) / Math.max(least, 1e-3);
  const load = isOneRun ? /** @type {number | undefined} */ (rate) : options.load * bounds.staggered;

  const progress = bar(policies.length * ((isOneRun ? 0 : seeds.length) + 1));
  /** @type {Row[]} */
  const rows = policies.map((policy) => {
    const found = (isOneRun ? [] : seeds).map((seed) => {
      const goodput = sim.goodputOf(scenario, policy, seed, upTo);
      progress(`${policy}, seed ${seed}`);
      return goodput;
    });
    const at = sim.runScenario(scenario, policy, load, 1, true);
    progress(policy);
    return { policy, found, at };
  });
  progress.end();

  output.log(isOneRun ? oneRun(options) : searched(/** @type {number} */ (load)));
  for (const line of table(isOneRun ? oneRunCells(rows) : searchedCells(rows, bounds))) output.log(line);
  for (const line of notes(sim, options)) output.log(`\n${line}`);
  if (out === undefined) return;
  mkdirSync(out, { recursive: true });
  for (const [name, svg] of charts(sim, options, rows, bounds, isOneRun)) {
    writeFileSync(join(out, name), svg);
    output.log(`written: ${join(out, name)}`);
  }
}

/**
 * Of all models together, each with its share of the requests.
 *
 * @param {Sim} sim
 * @param {import("./options.mjs").Options} options
 * @returns {Bounds}
 */
function boundsOf(sim, { scenario: { models }, shares, gpus }) {
  const all = shares.reduce((sum, share) => sum + share, 0);
  const each = models.map(({ times, sloMs }) => sim.goodputBounds(times, sloMs, gpus));
  /** @param {keyof Bounds} kind */
  const of = (kind) =>
    all / each.reduce((sum, bounds, index) => sum + (shares[index] ?? 0) / bounds[kind], 0);
  return { cap: of("cap"), staggered: of("staggered"), uncoordinated: of("uncoordinated") };
}

/** @param {number} load */
function searched(load) {
  return `\ngoodput: requests per second of which 99 % end in time, mean and range over seeds\nat ${load.toFixed(0)} rps: times of what ended, and how many devices were busy\n`;
}

/** @param {import("./options.mjs").Options} options */
function oneRun({ scenario: { trace, models, count }, rate }) {
  const times = trace?.times ?? new Float64Array(count);
  const seconds = ((times.at(-1) ?? 0) - (times[0] ?? 0)) / 1_000;
  const how = rate === undefined ? `in ${seconds.toFixed(1)} s, as recorded` : `at ${rate} per second`;
  return `\n${times.length} requests for ${models.length} models, ${how}\n`;
}

/** @param {Row[]} rows @param {Bounds} bounds */
function searchedCells(rows, bounds) {
  const best = Math.max(...rows.map(({ found }) => mean(found)));
  return [
    ["", "goodput", "range", "of staggered", ...TIMES],
    ...Object.entries(bounds).map(([name, value]) => [
      name,
      value.toFixed(0),
      "",
      percent(value / bounds.staggered),
    ]),
    ...rows.map(({ policy, found, at }) => [
      mean(found) === best ? `${policy} *` : policy,
      mean(found).toFixed(0),
      `${Math.min(...found).toFixed(0)}–${Math.max(...found).toFixed(0)}`,
      percent(mean(found) / bounds.staggered),
      ...timesOf(at),
    ]),
  ];
}

/** @param {Row[]} rows */
function oneRunCells(rows) {
  return [["", ...TIMES], ...rows.map(({ policy, at }) => [policy, ...timesOf(at)])];
}

const TIMES = ["in time", "p50 ms", "p99 ms", "busy", "batch", "loads"];

/** @param {Row["at"]} at */
function timesOf(at) {
  return [
    percent(at.goodShare),
    quantile(at.latencies, 0.5).toFixed(1),
    quantile(at.latencies, 0.99).toFixed(1),
    at.busyDevices.toFixed(2),
    at.meanBatch.toFixed(1),
    String(at.loads),
  ];
}

/**
 * What a policy's description does not have.
 *
 * @param {Sim} sim
 * @param {import("./options.mjs").Options} options
 */
function notes(sim, { scenario: { models, devices, loaded, outages = [], failures }, policies }) {
  const dealt = new Set([...sim.dealtPlacement(models, devices).values()].flat());
  const homeless = models.filter(({ key }) => !dealt.has(key)).map(({ key }) => key);
  const isPressed = [...sim.dealtPlacement(models, devices).values()].some(
    ({ length }) => length < models.length,
  );
  const isCostly =
    models.some(({ loadMs = 0 }) => loadMs > 0) && (outages.length > 0 || failures !== undefined);
  const assuming = policies.filter((policy) => !sim.LOADING_POLICIES.includes(policy));
  if (assuming.length === 0 || !(isPressed || isCostly || loaded !== undefined)) return [];
  const note = `${assuming.join(", ")}: as described, they assume that models are resident, and load nothing. They have from the start what fits, each model on the devices dealt round robin, and have it again whenever a device is back.`;
  if (homeless.length === 0) return [note];
  const few = homeless.length > 10 ? `${homeless.slice(0, 10).join(", ")}, …` : homeless.join(", ");
  return [
    `${note} ${homeless.length} models fit nowhere beside the others, and their requests are dropped: ${few}.`,
  ];
}

/**
 * @param {Sim} sim
 * @param {import("./options.mjs").Options} options
 * @param {Row[]} rows
 * @param {Bounds} bounds
 * @param {boolean} isOneRun
 * @returns {[name: string, svg: string][]}
 */
function charts(sim, { scenario }, rows, bounds, isOneRun) {
  /** @type {[string, string][]} */
  const drawn = rows.map(({ policy, at }) => [
    `timeline-${policy}.svg`,
    sim.timelineChart(`${policy}: batches on devices`, at.timeline, at.spanMs / 2, at.spanMs / 2 + 200),
  ]);
  drawn.push([
    "latency.svg",
    sim.lineChart({
      title: "How long requests took",
      x: "milliseconds",
      y: "share of what ended, %",
      lines: rows.map(({ policy, at }) => sim.latencyLine(policy, at.latencies)),
    }),
  ]);
  if (isOneRun) return drawn;
  const loads = Array.from({ length: 12 }, (_, index) => ((index + 1) / 10) * bounds.staggered);
  const progress = bar(rows.length * loads.length);
  const lines = rows.map(({ policy }) => ({
    name: policy,
    points: loads.map((rate) => {
      const { goodShare } = sim.runScenario(scenario, policy, rate, 1);
      progress(`${policy} at ${Math.round(rate)} rps`);
      return /** @type {[number, number]} */ ([rate, rate * goodShare]);
    }),
  }));
  progress.end();
  drawn.push([
    "goodput.svg",
    sim.lineChart({
      title: "Requests that end in time",
      x: "arriving, per second",
      y: "in time, per second",
      lines,
      mark: { name: "staggered bound", x: bounds.staggered },
    }),
  ]);
  return drawn;
}
