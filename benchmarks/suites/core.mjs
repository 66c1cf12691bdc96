// Suite `core`: what the policies cost while nothing fails, which is what every call pays.
import {
  ExponentialBackoff,
  fallback as cockatielFallback,
  handleAll,
  retry as cockatielRetry,
  timeout as cockatielTimeout,
  TimeoutStrategy,
  wrap,
} from "cockatiel";
import CircuitBreaker from "opossum";
import pRetry from "p-retry";
import {
  exponential,
  fallback,
  pipeline,
  retry,
  systemClock,
  systemRandom,
  timeout,
} from "../../packages/core/dist/index.js";

const task = async () => 1;
const readsSignal = async ({ signal }) => (signal.aborted ? 0 : 1);

const ours = {
  retry: retry(),
  timeout: timeout("2s"),
  pipeline: pipeline(fallback(0), retry(), timeout("2s")),
  backoff: exponential(),
};
const cockatiel = {
  retry: cockatielRetry(handleAll, { maxAttempts: 3, backoff: new ExponentialBackoff() }),
  timeout: cockatielTimeout(2_000, TimeoutStrategy.Aggressive),
  pipeline: wrap(
    cockatielFallback(handleAll, 0),
    cockatielRetry(handleAll, { maxAttempts: 3, backoff: new ExponentialBackoff() }),
    cockatielTimeout(2_000, TimeoutStrategy.Aggressive),
  ),
};
const opossum = new CircuitBreaker(task, { timeout: 2_000 });
const noop = () => {};

/** Targets: `maxNs` for ours, `minRatio` for peer ÷ ours. Rows without one are there to be seen. */
export const rows = [
  { name: "bare await of an async function", ours: task, peers: {} },
  {
    name: "retry, first try succeeds",
    ours: () => ours.retry.run(task),
    peers: {
      cockatiel: () => cockatiel.retry.execute(task),
      "p-retry": () => pRetry(task, { retries: 2 }),
    },
    target: { minRatio: { cockatiel: 1.4, "p-retry": 40 } },
  },
  {
    name: "timeout, not hit",
    ours: () => ours.timeout.run(task),
    peers: {
      cockatiel: () => cockatiel.timeout.execute(task),
      "opossum (breaker with timeout)": () => opossum.fire(),
    },
    target: { maxNs: 400, minRatio: { cockatiel: 20 } },
  },
  {
    name: "fallback + retry + timeout as one pipeline",
    ours: () => ours.pipeline.run(task),
    peers: { "cockatiel wrap": () => cockatiel.pipeline.execute(task) },
    target: { maxNs: 600, minRatio: { "cockatiel wrap": 20 } },
  },
  {
    name: "timeout, task reads its signal",
    ours: () => ours.timeout.run(readsSignal),
    peers: { cockatiel: () => cockatiel.timeout.execute(readsSignal) },
  },
  {
    name: "timer set and cancelled",
    sync: true,
    ours: () => systemClock.setTimer(2_000, noop).cancel(),
    peers: { "setTimeout + clearTimeout": () => clearTimeout(setTimeout(noop, 2_000)) },
  },
  {
    name: "exponential backoff with jitter, one step",
    sync: true,
    ours: () => ours.backoff.next(3, 0, systemRandom).delayMs,
    peers: {},
  },
];
