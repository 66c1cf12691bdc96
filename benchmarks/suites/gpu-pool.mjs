// Suite `gpu-pool`: what schedulers get out of simulated devices, and what a decision of ours costs. Simulated figures
// are the same on every machine; only the last rows are times.
import { Scheduler } from "../../packages/gpu-pool/dist/index.js";
import {
  drawTrace,
  goodputBounds,
  goodputOf,
  POLICIES,
  runScenario,
  simulate,
  simulatedDevices,
  zipfShares,
} from "../../packages/gpu-pool/dist/sim.js";

const times = { perItemMs: 1.082, fixedMs: 5.204 };
const peers = Object.keys(POLICIES).filter((name) => name !== "holdfast");
const bounds = goodputBounds(times, 25, 8);

/** Goodput at 99 % in time, the mean of five seeds; one and shorter runs for a look. */
function goodput(name, models, sloMs, gaps, upTo, target) {
  const scenario = (count) => ({
    models: Array.from({ length: models }, (_, index) => ({ key: `m${index}`, times, sloMs })),
    devices: simulatedDevices(8),
    count,
    gaps,
  });
  const measure = (_row, quick) => {
    const seeds = quick ? [1] : [1, 2, 3, 4, 5];
    const setup = scenario(quick ? 20_000 : 80_000);
    const of = (policy) => mean(seeds.map((seed) => goodputOf(setup, policy, seed, upTo)));
    return { ours: of("holdfast"), ...Object.fromEntries(peers.map((policy) => [policy, of(policy)])) };
  };
  return { name: `goodput at 99 %, ${name}`, unit: "requests/s", measure, target };
}

/** How much of a second the devices are busy, summed up, at a share of the staggered bound. */
function busy(load) {
  const scenario = {
    models: [{ key: "m", times, sloMs: 25 }],
    devices: simulatedDevices(8),
    count: 50_000,
  };
  const measure = () => {
    const of = (policy) => runScenario(scenario, policy, load * bounds.staggered, 1).busyDevices * 1_000;
    return { ours: of("holdfast"), eager: of("eager"), symphony: of("symphony") };
  };
  return {
    name: `device time, one model, 25 ms, at ${load * 100} % of the staggered bound`,
    unit: "ms/s",
    measure,
    // A thousandth for the last batch of a run.
    target: { notAbove: { symphony: 1.005 } },
  };
}

/**
 * A request from its arrival to its end, the simulator's own part included, so an upper bound. In processor time, and
 * as the difference of a long and a short run, so that neither other programs nor the start of the devices count.
 */
function decision(models, devices, perDevice) {
  const measure = (_row, quick) => {
    const [few, many] = quick ? [50_000, 100_000] : [100_000, 400_000];
    const specs = Array.from({ length: models }, (_, index) => ({ key: `m${index}`, times, sloMs: 100 }));
    const trace = (count) =>
      drawTrace({ count, ratePerSecond: devices * 400, seed: 1, shares: zipfShares(models, 0.9) });
    const traces = new Map([few, many].map((count) => [count, trace(count)]));
    const run = (count) => {
      const scheduler = new Scheduler({
        models: specs.map(({ key }) => ({ key, times, maxBatch: 64 })),
        queueLimit: 1_000_000,
      });
      const loaded = (device) => {
        const first = Number(device.id.slice(4)) * perDevice;
        return Array.from({ length: perDevice }, (_, step) => `m${(first + step) % models}`);
      };
      const began = process.cpuUsage();
      simulate({
        scheduler,
        trace: traces.get(count),
        models: specs,
        devices: simulatedDevices(devices),
        ...(perDevice < models ? { loaded } : {}),
      });
      const { user, system } = process.cpuUsage(began);
      return (user + system) * 1_000;
    };
    run(few);
    const one = () => (run(many) - run(few)) / (many - few);
    return { ours: median(Array.from({ length: quick ? 3 : 5 }, one)) };
  };
  const where = perDevice < models ? `${perDevice} on each device` : "all on each device";
  return {
    name: `a request, ${models} models (${where}) × ${devices} devices`,
    measure,
    target: { maxNs: 5_000 },
  };
}

const bursts = { gammaShape: 0.1 };

/** Not below any other, and the others where an independent simulation found them: docs/gpu-pool-goodput.md. */
const best = (near) => ({ notBelow: Object.fromEntries(peers.map((policy) => [policy, 1])), near });

export const rows = [
  goodput("1 model, 25 ms, Poisson", 1, 25, "poisson", 6_000, {
    min: Math.round(0.95 * bounds.staggered),
    ...best({
      clipper: [3_938, 3_938],
      triton: [3_965, 3_965],
      nexus: [3_883, 3_883],
      clockwork: [3_828, 3_883],
      eager: [4_539, 4_703],
      symphony: [5_141, 5_141],
    }),
  }),
  goodput(
    "1 model, 25 ms, gamma 0.1",
    1,
    25,
    bursts,
    5_000,
    best({
      clipper: [2_516, 2_516],
      triton: [2_543, 2_543],
      nexus: [2_488, 2_488],
      clockwork: [1_176, 1_449],
      eager: [3_418, 3_637],
      symphony: [3_309, 3_391],
    }),
  ),
  goodput(
    "10 models, 100 ms, Poisson",
    10,
    100,
    "poisson",
    7_000,
    best({ clockwork: [5_742, 5_742], eager: [6_262, 6_289], symphony: [5_688, 5_715] }),
  ),
  goodput(
    "10 models, 100 ms, gamma 0.1",
    10,
    100,
    bursts,
    7_000,
    best({ clockwork: [5_414, 5_523], eager: [6_043, 6_070], symphony: [5_059, 5_250] }),
  ),
  busy(0.2),
  busy(0.4),
  busy(0.6),
  decision(10, 10, 10),
  decision(100, 100, 100),
  decision(1_000, 1_000, 1_000),
  decision(1_000, 1_000, 20),
];

function mean(values) {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function median(values) {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];
}
