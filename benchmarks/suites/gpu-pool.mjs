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

/** Models with a Zipf popularity of 0.9 and 100 ms each, as many requests as the devices just manage. */
function crowd(models, devices, perDevice) {
  const specs = Array.from({ length: models }, (_, index) => ({ key: `m${index}`, times, sloMs: 100 }));
  const loaded = (device) => {
    const first = Number(device.id.slice(4)) * perDevice;
    return Array.from({ length: perDevice }, (_, step) => `m${(first + step) % models}`);
  };
  return {
    specs,
    trace: (count) =>
      drawTrace({ count, ratePerSecond: devices * 400, seed: 1, shares: zipfShares(models, 0.9) }),
    scheduler: () =>
      new Scheduler({
        models: specs.map(({ key }) => ({ key, times, maxBatch: 64 })),
        queueLimit: 1_000_000,
      }),
    rest: {
      models: specs,
      devices: simulatedDevices(devices),
      ...(perDevice < models ? { loaded } : {}),
    },
    name: `${models} models (${perDevice < models ? `${perDevice} on each device` : "all on each device"}) × ${devices} devices`,
  };
}

/**
 * A request from its arrival to its end, the simulator's own part included, so an upper bound. In processor time, and
 * as the difference of a long and a short run, so that neither other programs nor the start of the devices count.
 */
function decision(models, devices, perDevice) {
  const { name, trace, scheduler, rest } = crowd(models, devices, perDevice);
  const measure = (_row, quick) => {
    const [few, many] = quick ? [50_000, 100_000] : [100_000, 400_000];
    const traces = new Map([few, many].map((count) => [count, trace(count)]));
    const run = (count) => {
      const began = process.cpuUsage();
      simulate({ scheduler: scheduler(), trace: traces.get(count), ...rest });
      return nsSince(began);
    };
    run(few);
    const one = () => (run(many) - run(few)) / (many - few);
    return { ours: median(Array.from({ length: quick ? 3 : 5 }, one)) };
  };
  return { name: `a request, ${name}`, measure, target: { maxNs: 5_000 } };
}

/**
 * The scheduler's part of that alone: the events of a simulation, told to a scheduler of its own, which has to answer
 * the same. In processor time from the second quarter of the events on, when as many wait and run as ever.
 */
function decisionAlone(models, devices, perDevice) {
  const { name, specs, trace, scheduler, rest } = crowd(models, devices, perDevice);
  const measure = (_row, quick) => {
    const record = recorded({ scheduler: scheduler(), trace: trace(quick ? 100_000 : 400_000), ...rest });
    const checked = replayed(record, scheduler(), specs, digest);
    if (checked.answers !== record.answers) throw new Error(`${name}: replayed, and other answers`);
    const one = () => replayed(record, scheduler(), specs).nsPerRequest;
    return { ours: median(Array.from({ length: quick ? 3 : 5 }, one)) };
  };
  return { name: `the scheduler alone, ${name}`, measure, target: { maxNs: 5_000 } };
}

/** Codes of events; from 0 on, a request for the model of that index. */
const TIMER = -1;
const FIRST_BATCH = -2;

/** What a scheduler was told in a simulation, in numbers, and a digest of its answers. */
function recorded(simulation) {
  const ups = [];
  const codes = [];
  const times = [];
  let answers = 0;
  const indexOf = new Map(simulation.models.map(({ key }, index) => [key, index]));
  const onEvent = (event, commands, now) => {
    answers = digest(answers, commands);
    if (event.type === "device-up") {
      ups.push(event);
      return;
    }
    if (event.type === "request") codes.push(indexOf.get(event.request.model));
    else if (event.type === "batch-done") codes.push(FIRST_BATCH - event.batch);
    else if (event.type === "timer") codes.push(TIMER);
    else throw new Error(`nothing else happens here, but ${event.type} has`);
    times.push(now);
  };
  simulate({ ...simulation, onEvent });
  return { ups, codes, times, answers };
}

/** Tells a scheduler the same, and asks it as its owners do when it is to be woken; reads its answers if told how. */
function replayed({ ups, codes, times }, scheduler, specs, digestOf) {
  let answers = 0;
  let wake = Infinity;
  const tell = (event, now) => {
    const commands = scheduler.handle(event, now);
    wake = scheduler.nextWake;
    if (digestOf !== undefined) answers = digestOf(answers, commands);
  };
  for (const event of ups) tell(event, 0);
  const from = Math.floor(codes.length / 4);
  let began = process.cpuUsage();
  let before = 0;
  let id = 0;
  for (let index = 0; index < codes.length; index += 1) {
    if (index === from) {
      began = process.cpuUsage();
      before = id;
    }
    const now = times[index];
    const code = codes[index];
    if (code >= 0) {
      const { key, sloMs } = specs[code];
      id += 1;
      tell({ type: "request", request: { id, model: key, priority: 0, deadline: now + sloMs } }, now);
    } else if (code !== TIMER) tell({ type: "batch-done", batch: FIRST_BATCH - code }, now);
    else if (wake <= now) tell({ type: "timer" }, now);
    else throw new Error("replayed, and not to be woken when it was");
  }
  return { answers, nsPerRequest: nsSince(began) / (id - before) };
}

/** Of commands in their order: which, of what, where. */
function digest(sum, commands) {
  let all = Math.imul(sum, 31) + commands.length;
  const add = (number) => (all = Math.imul(all, 31) + number);
  for (const { type, batch, device, request, requests } of commands) {
    add(type.length);
    add(batch ?? 0);
    add(device === undefined ? 0 : Number(device.slice(4)));
    for (const { id } of requests ?? [request]) add(id);
  }
  return all;
}

function nsSince(began) {
  const { user, system } = process.cpuUsage(began);
  return (user + system) * 1_000;
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
  decisionAlone(10, 10, 10),
  decisionAlone(1_000, 1_000, 1_000),
];

function mean(values) {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function median(values) {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];
}
