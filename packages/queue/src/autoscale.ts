// How many workers a queue wants, from two looks at it.
import { optionsOf } from "@holdfast/core";
import type { Duration } from "@holdfast/core";
import type { Queue } from "./queue/queue-contract.ts";
import type { QueueMeter, QueueStats } from "./store/store.ts";

/** A look at a queue. */
export interface QueueMeasure {
  /** When, in milliseconds since the epoch. */
  readonly at: number;
  readonly stats: QueueStats;
  readonly meter: QueueMeter;
}

export interface AutoscaleOptions {
  /** Handlers that run at a time in one worker. @defaultValue 10 */
  readonly concurrency?: number;
  /** In what time that which is ready now is to be started. @defaultValue "30s" */
  readonly targetWait?: Duration;
  /** What a task takes as long as none has been completed. @defaultValue "1s" */
  readonly assumedRun?: Duration;
  /** @defaultValue 0 */
  readonly minWorkers?: number;
  /** @defaultValue 100 */
  readonly maxWorkers?: number;
}

/** What a queue is like between two looks, and what it wants. */
export interface AutoscaleSignal {
  /** Tasks that could be started now. */
  readonly ready: number;
  readonly running: number;
  /** How long the task has been there that is to be claimed next, in milliseconds; 0 without one. */
  readonly oldestReadyMs: number;
  readonly arrivalsPerSecond: number;
  /** Starts of tries, those that were made again included. */
  readonly startsPerSecond: number;
  readonly completionsPerSecond: number;
  /** From start to completion, on average, in milliseconds: between the looks, else ever, else as assumed. */
  readonly averageRunMs: number;
  /** From when it could be started to the first start, on average of those that were, in milliseconds. */
  readonly averageWaitMs: number;
  readonly wantedWorkers: number;
}

/** Looks at a queue once. */
export async function measureQueue(queue: Queue): Promise<QueueMeasure> {
  const [stats, meter] = await Promise.all([queue.stats(), queue.meter()]);
  return { at: queue.clock.now(), stats, meter };
}

/**
 * How many workers a queue wants. By Little's law what comes in keeps `arrivals × run time` handlers busy; what is ready
 * now is to be started within `targetWait` beside that, and tries that are made again take their part:
 *
 * `workers = (arrivals × starts per task + ready ÷ targetWait) × average run ÷ concurrency`, rounded up.
 *
 * Never fewer than what runs now needs, nor than one while something is ready. While the queue is paused nothing more can
 * be started: it wants what runs. Looks should be some ten seconds apart.
 *
 * @throws InvalidOptionError when an option is out of range.
 *
 * @example
 * ```ts
 * import type { QueueMeasure } from "@holdfast/queue";
 * import { autoscaleSignal } from "@holdfast/queue";
 *
 * const none = { scheduled: 0, waiting: 0, ready: 0, running: 0, completed: 0, failed: 0, cancelled: 0 };
 * const zero = { added: 0, started: 0, completed: 0, failed: 0, cancelled: 0, retried: 0, waitedMs: 0, ranMs: 0 };
 * const before: QueueMeasure = { at: 0, stats: none, meter: { ...zero, paused: false } };
 * // In 10 s: 100 came, 50 were done in 2 s each, 30 are ready.
 * const meter = { ...zero, added: 100, started: 70, completed: 50, ranMs: 100_000, paused: false };
 * const after = { at: 10_000, stats: { ...none, ready: 30, running: 20 }, meter };
 * // (10/s + 30 in 30 s) × 2 s = 22 handlers.
 * autoscaleSignal(before, after, { concurrency: 10, targetWait: "30s" }).wantedWorkers; // => 3
 * ```
 */
export function autoscaleSignal(
  before: QueueMeasure,
  after: QueueMeasure,
  options: AutoscaleOptions = {},
): AutoscaleSignal {
  const { concurrency, targetWaitMs, assumedRunMs, min, max } = autoscaleLimits(options);
  const seconds = (after.at - before.at) / 1_000;
  const grown = (count: keyof Omit<QueueMeter, "paused">): number =>
    Math.max(0, (after.meter[count] ?? 0) - (before.meter[count] ?? 0));
  const perSecond = (count: number): number => (seconds > 0 ? count / seconds : 0);
  const { stats, meter } = after;
  const averageRunMs =
    ratio(grown("ranMs"), grown("completed")) ?? ratio(meter.ranMs, meter.completed) ?? assumedRunMs;
  const ended = grown("completed") + grown("failed") + grown("cancelled");
  const startsPerTask = Math.max(1, 1 + (ratio(grown("retried"), ended) ?? 0));
  const arrivalsPerSecond = perSecond(grown("added"));

  const startsPerMs = (arrivalsPerSecond * startsPerTask) / 1_000 + stats.ready / targetWaitMs;
  const handlers = Math.max(stats.running, meter.paused ? 0 : startsPerMs * averageRunMs);
  const wanted = Math.ceil(round(handlers / concurrency));
  const least = stats.ready > 0 && !meter.paused ? 1 : 0;
  return {
    ready: stats.ready,
    running: stats.running,
    oldestReadyMs: meter.headAddedAt === undefined ? 0 : Math.max(0, after.at - meter.headAddedAt),
    arrivalsPerSecond,
    startsPerSecond: perSecond(grown("started")),
    completionsPerSecond: perSecond(grown("completed")),
    averageRunMs,
    averageWaitMs: ratio(grown("waitedMs"), grown("started")) ?? 0,
    wantedWorkers: Math.min(max, Math.max(min, least, wanted)),
  };
}

/** The options, checked. @throws InvalidOptionError */
export function autoscaleLimits(options: AutoscaleOptions): {
  readonly concurrency: number;
  readonly targetWaitMs: number;
  readonly assumedRunMs: number;
  readonly min: number;
  readonly max: number;
} {
  const check = optionsOf("autoscaleSignal");
  const concurrency = check.integer("concurrency", options.concurrency, { min: 1, max: 100_000 }, 10);
  const targetWaitMs = check.duration("targetWait", options.targetWait, { min: 1 }, 30_000);
  const assumedRunMs = check.duration("assumedRun", options.assumedRun, { min: 1 }, 1_000);
  const min = check.integer("minWorkers", options.minWorkers, { min: 0, max: 1_000_000 }, 0);
  const max = check.integer("maxWorkers", options.maxWorkers, { min }, Math.max(min, 100));
  return { concurrency, targetWaitMs, assumedRunMs, min, max };
}

function ratio(part: number, whole: number): number | undefined {
  return whole > 0 ? part / whole : undefined;
}

/** Away with what floating point adds, which rounding up would make a worker of. */
function round(value: number): number {
  return Math.round(value * 1e6) / 1e6;
}
