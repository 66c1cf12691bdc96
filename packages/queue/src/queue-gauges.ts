// Looks at a queue now and then, and publishes how full it is.
import type { Clock, Duration } from "@holdfast/core";
import { asError, channel, optionsOf } from "@holdfast/core";
import { measureQueue } from "./autoscale.ts";
import type { Queue } from "./queue/queue-contract.ts";
import { answered } from "./store/store-deadline.ts";

export interface QueueGaugesOptions {
  /** From 100 ms. @defaultValue "15s" */
  readonly every?: Duration;
  /** How long a look may take. @defaultValue "5s" */
  readonly deadline?: Duration;
  /** @defaultValue the queue's */
  readonly clock?: Clock;
}

/** Published as `holdfast:queue:measured`. */
export interface QueueMeasuredEvent {
  readonly queue: string;
  readonly scheduled: number;
  readonly waiting: number;
  readonly ready: number;
  readonly running: number;
  /** Dead letters. */
  readonly failed: number;
  /** How long the task has been there that is to be claimed next, in milliseconds; 0 without one. */
  readonly oldestReadyMs: number;
  readonly paused: boolean;
}

/** Published as `holdfast:queue:measure_failed` when the store does not say. */
export interface QueueMeasureFailedEvent {
  readonly queue: string;
  readonly error: Error;
}

/** Looks at a queue until it is closed. */
export interface QueueGauges extends AsyncDisposable {
  close(): Promise<void>;
}

const measured = /* @__PURE__ */ channel<QueueMeasuredEvent>("queue", "measured");
const failed = /* @__PURE__ */ channel<QueueMeasureFailedEvent>("queue", "measure_failed");

/**
 * Looks at a queue now and then and publishes `holdfast:queue:measured`, of which `queueMetrics` makes gauges. It asks
 * the store only while somebody listens. One process may do it for all, or each: they see the same.
 *
 * @throws InvalidOptionError when an option is out of range.
 *
 * @example
 * ```ts
 * import { coreMetrics, prometheus } from "@holdfast/core";
 * import { memoryStore, queue, queueGauges, queueMetrics } from "@holdfast/queue";
 *
 * const numbers = prometheus({ tables: [coreMetrics, queueMetrics] });
 * await using gauges = queueGauges(queue({ name: "jobs", store: memoryStore() }), { every: "15s" });
 * numbers.text().includes("# TYPE holdfast_queue_tasks_ready gauge"); // => true
 * numbers.close();
 * ```
 */
export function queueGauges(queue: Queue, options: QueueGaugesOptions = {}): QueueGauges {
  const check = optionsOf("queueGauges");
  const every = check.duration("every", options.every, { min: 100 }, 15_000);
  const deadline = check.duration("deadline", options.deadline, { min: 1 }, 5_000);
  const clock = options.clock ?? queue.clock;
  const stop = new AbortController();
  const look = async (): Promise<void> => {
    while (!stop.signal.aborted) {
      if (measured.hasSubscribers) await publish(queue, deadline, clock, stop.signal);
      await clock.sleep(every, stop.signal).catch(() => {});
    }
  };
  const looking = look();
  const close = async (): Promise<void> => {
    stop.abort();
    await looking;
  };
  return { close, [Symbol.asyncDispose]: close };
}

async function publish(queue: Queue, deadline: number, clock: Clock, stop: AbortSignal): Promise<void> {
  try {
    const { at, stats, meter } = await answered(measureQueue(queue), deadline, clock);
    if (stop.aborted) return;
    const { scheduled, waiting, ready, running, failed: dead } = stats;
    const oldestReadyMs = meter.headAddedAt === undefined ? 0 : Math.max(0, at - meter.headAddedAt);
    const { paused } = meter;
    const counts = { scheduled, waiting, ready, running, failed: dead };
    measured.publish({ queue: queue.name, ...counts, oldestReadyMs, paused });
  } catch (error) {
    if (!stop.aborted && failed.hasSubscribers) failed.publish({ queue: queue.name, error: asError(error) });
  }
}
