// Suite `breaker`: what a closed breaker costs each call, what an open one costs, and what both leave behind.
import {
  bulkhead as cockatielBulkhead,
  circuitBreaker as cockatielBreaker,
  ConsecutiveBreaker,
  ExponentialBackoff,
  handleAll,
  retry as cockatielRetry,
  SamplingBreaker,
  timeout as cockatielTimeout,
  TimeoutStrategy,
  wrap,
} from "cockatiel";
import CircuitBreaker from "opossum";
import {
  adaptiveConcurrency,
  adaptiveThrottle,
  bulkhead,
  circuitBreaker,
  consecutive,
  countWindow,
  timeWindow,
} from "../../packages/breaker/dist/index.js";
import { pipeline, retry, timeout } from "../../packages/core/dist/index.js";
import { bytesPerCall, handlesLeft, heapKept } from "../lib/memory.mjs";

const task = async () => 1;
const failing = async () => {
  throw new Error("down");
};
const noop = () => {};
const answer = (value) => value;
const rethrow = (error) => {
  throw error;
};

const byFailures = () => circuitBreaker({ trip: consecutive({ failures: 5 }), openFor: "30s" });
const byTime = () =>
  circuitBreaker({ trip: timeWindow({ window: "10s", failureRate: 0.5, minCalls: 20 }), openFor: "30s" });
const byCount = () =>
  circuitBreaker({ trip: countWindow({ size: 100, failureRate: 0.5, minCalls: 20 }), openFor: "30s" });
const cockatielByFailures = () =>
  cockatielBreaker(handleAll, { halfOpenAfter: 30_000, breaker: new ConsecutiveBreaker(5) });
// Half of at least 20 calls within 10 s, as ours.
const cockatielByTime = () =>
  cockatielBreaker(handleAll, {
    halfOpenAfter: 30_000,
    breaker: new SamplingBreaker({ threshold: 0.5, duration: 10_000, minimumRps: 2 }),
  });
// opossum knows only the time window, of 10 s by default; without its timeout, for ours has none here either.
const opossumByTime = () =>
  new CircuitBreaker(task, { timeout: false, errorThresholdPercentage: 50, volumeThreshold: 20 });

const ours = {
  byFailures: byFailures(),
  byTime: byTime(),
  byCount: byCount(),
  pipeline: pipeline(retry(), byFailures(), timeout("2s")),
  bulkhead: bulkhead({ concurrent: 10, queue: 10 }),
  adaptive: adaptiveConcurrency(),
  throttle: adaptiveThrottle(),
  open: await opened(circuitBreaker({ trip: consecutive({ failures: 1 }), openFor: "1h" })),
};
const cockatiel = {
  byFailures: cockatielByFailures(),
  byTime: cockatielByTime(),
  pipeline: wrap(
    cockatielRetry(handleAll, { maxAttempts: 3, backoff: new ExponentialBackoff() }),
    cockatielByFailures(),
    cockatielTimeout(2_000, TimeoutStrategy.Aggressive),
  ),
  bulkhead: cockatielBulkhead(10, 10),
  open: cockatielBreaker(handleAll, { halfOpenAfter: 3_600_000, breaker: new ConsecutiveBreaker(1) }),
};
await cockatiel.open.execute(failing).catch(noop);
const opossum = {
  closed: opossumByTime(),
  open: new CircuitBreaker(task, { timeout: false, resetTimeout: 3_600_000 }),
};
opossum.open.open();

const closedCalls = {
  ours: () => ours.byFailures.run(task),
  peers: {
    "bare await": task,
    // The least that anything costs which is told how a call has ended and hands on the same: one promise more.
    "bare await, outcome watched": () => task().then(answer, rethrow),
    cockatiel: () => cockatiel.byFailures.execute(task),
    opossum: () => opossum.closed.fire(),
  },
};

/** Targets as in suite `core`. A bare await is a peer where the target is told in bare awaits: ≤ 1.35 of them. */
export const rows = [
  {
    name: "closed breaker, consecutive failures",
    ...closedCalls,
    target: { minRatio: { "bare await": round(1 / 1.35), cockatiel: 1.4, opossum: 4 } },
  },
  {
    name: "closed breaker, sliding time window",
    ours: () => ours.byTime.run(task),
    peers: {
      "cockatiel sampling": () => cockatiel.byTime.execute(task),
      opossum: () => opossum.closed.fire(),
    },
    target: { minRatio: { "cockatiel sampling": 1.4 } },
  },
  { name: "closed breaker, count window", ours: () => ours.byCount.run(task), peers: {} },
  {
    name: "retry + breaker + timeout",
    ours: () => ours.pipeline.run(task),
    peers: { "cockatiel wrap": () => cockatiel.pipeline.execute(task) },
    target: { maxNs: 600, minRatio: { "cockatiel wrap": 20 } },
  },
  {
    name: "bulkhead, a slot is free",
    ours: () => ours.bulkhead.run(task),
    peers: { cockatiel: () => cockatiel.bulkhead.execute(task) },
    target: { minRatio: { cockatiel: 1.1 } },
  },
  { name: "adaptive limit (Gradient2), a slot is free", ours: () => ours.adaptive.run(task), peers: {} },
  { name: "adaptive throttle, nothing held back", ours: () => ours.throttle.run(task), peers: {} },
  {
    name: "open breaker, the refusal caught",
    ours: () => ours.open.run(task).catch(noop),
    peers: {
      cockatiel: () => cockatiel.open.execute(task).catch(noop),
      opossum: () => opossum.open.fire().catch(noop),
    },
    target: { minRatio: { cockatiel: 1, opossum: 1 } },
  },
  {
    name: "open breaker, the refusal as a value",
    ours: () => ours.open.tryRun(task),
    peers: { "cockatiel, caught": () => cockatiel.open.execute(task).catch(noop) },
    target: { minRatio: { "cockatiel, caught": 1 } },
  },
  { name: "bytes allocated per closed call", unit: "B", measure: bytesPerCall, ...closedCalls },
  {
    name: "heap kept after 1 M closed calls of a new breaker",
    unit: "B",
    measure: heapKept,
    ours: callsOf(byFailures),
    peers: {
      "ours, time window": callsOf(byTime),
      cockatiel: callsOf(cockatielByFailures, "execute"),
      opossum: () => {
        const breaker = opossumByTime();
        return () => breaker.fire();
      },
    },
  },
  {
    name: "timers and handles that a new breaker has open after a call",
    unit: "",
    measure: handlesLeft,
    ours: callsOf(byFailures),
    peers: {
      cockatiel: callsOf(cockatielByFailures, "execute"),
      opossum: () => {
        const breaker = opossumByTime();
        return () => breaker.fire();
      },
    },
  },
];

/** Makes the operation on a breaker of its own. */
function callsOf(make, verb = "run") {
  return () => {
    const breaker = make();
    return () => breaker[verb](task);
  };
}

async function opened(breaker) {
  await breaker.run(failing).catch(noop);
  if (breaker.state !== "open") throw new Error("the breaker of this row should be open");
  return breaker;
}

function round(value) {
  return Math.round(value * 100) / 100;
}
