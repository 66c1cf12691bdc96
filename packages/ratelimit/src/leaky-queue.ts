// Leaky bucket as a queue: work leaves it at a constant rate, and what finds it full is refused.
import type { Clock, Duration, Policy, PolicySnapshot, RunOptions, Task } from "@holdfast/core";
import { optionsOf } from "@holdfast/core";
import type { RateLimiter } from "./contract.ts";
import { rateLimiter } from "./limiter.ts";
import { tokenBucket } from "./limits/token-bucket.ts";
import type { RateLimitStore } from "./store.ts";

export interface LeakyQueueOptions {
  /** @defaultValue "leaky-queue" */
  readonly name?: string;
  /** Most that wait; one more is refused. 1 to 1,000,000. */
  readonly capacity: number;
  /** How many leave the queue in each `per`, evenly spaced. 1 to 1,000,000,000. */
  readonly drain: number;
  /** Whole milliseconds, up to 366 days. */
  readonly per: Duration;
  /** Where the pace is kept: with a shared store, all processes drain at one pace together. @defaultValue in this process */
  readonly store?: RateLimitStore;
  /** What to do while a shared store cannot be asked; has to be said for one. */
  readonly onStoreError?: "open" | "closed" | "local";
  /** How many processes drain together, for `onStoreError: "local"`. @defaultValue 1 */
  readonly instances?: number;
  /** @defaultValue systemClock */
  readonly clock?: Clock;
}

/** A queue that work leaves at a constant rate. */
export interface LeakyQueue extends Policy {
  /** Those in the queue. */
  readonly waiting: number;
  /**
   * Runs the task when its turn has come.
   *
   * @throws RateLimitQueueFullError when the queue is full; the signal's reason when it aborts, which frees its place at
   * once.
   */
  run<T>(task: Task<T>, options?: RunOptions): Promise<T>;
  /** Those who wait are rejected with `ClosedError`. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * A traffic shaper (Turner, 1986; Tanenbaum's leaky bucket): calls wait in a queue of fixed length and leave it one by
 * one, evenly spaced, in the order in which they came. There are no bursts: after a pause, too, the second waits for its
 * turn.
 *
 * @throws InvalidOptionError when an option is out of range.
 *
 * @example
 * ```ts
 * import { leakyQueue } from "@holdfast/ratelimit";
 *
 * const mails = leakyQueue({ capacity: 100, drain: 200, per: "1s" });
 * await mails.run(() => "sent"); // => "sent"
 * ```
 */
export function leakyQueue(options: LeakyQueueOptions): LeakyQueue {
  const check = optionsOf("leakyQueue");
  const { name = "leaky-queue", capacity, drain, per, ...rest } = options;
  check.integer("capacity", capacity, { min: 1, max: 1_000_000 });
  const limiter: RateLimiter = rateLimiter({
    ...rest,
    name,
    limits: tokenBucket({ name: "drain", capacity: 1, refill: drain, per }),
    maxWaiting: capacity,
    // Everyone in the queue has its turn before this.
    maxWait: Math.max(1_000, 2 * capacity * limitMs(per, drain)),
  });
  const policy = limiter.for(name, { wait: true });
  return {
    kind: "leaky-queue",
    name,
    get waiting() {
      return limiter.snapshot().waiting;
    },
    run: (task, runOptions) => policy.run(task, runOptions),
    snapshot: (): PolicySnapshot => ({
      kind: "leaky-queue",
      name,
      capacity,
      waiting: limiter.snapshot().waiting,
    }),
    describe: () => ({
      kind: "leaky-queue",
      name,
      summary: `lets ${drain} through in each ${per}, ${capacity} waiting`,
    }),
    close: () => limiter.close(),
    [Symbol.asyncDispose]: () => limiter.close(),
  };
}

function limitMs(per: Duration, drain: number): number {
  return (
    optionsOf("leakyQueue").duration("per", per, { min: 1 }) /
    optionsOf("leakyQueue").integer("drain", drain, { min: 1 })
  );
}
