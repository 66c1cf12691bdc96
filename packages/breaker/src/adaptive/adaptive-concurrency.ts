// A bulkhead whose size is found from what the callee can take.
import type {
  Clock,
  Context,
  Policy,
  PolicyDescription,
  PolicySnapshot,
  RunOptions,
  Task,
} from "@holdfast/core";
import { contextOf, optionsOf, systemClock } from "@holdfast/core";
import { refused } from "../bulkhead/refused.ts";
import type { Ended } from "../bulkhead/slots.ts";
import { Slots } from "../bulkhead/slots.ts";
import type { AdaptiveLimit, LimitAlgorithm } from "./algorithm.ts";
import { gradient2 } from "./gradient2.ts";
import { isRefusedHere } from "../refusals/refused-here.ts";
import { meansOverload } from "./overload.ts";

export interface AdaptiveConcurrencyOptions {
  /** @defaultValue "adaptive-limit" */
  readonly name?: string;
  /** @defaultValue gradient2() */
  readonly algorithm?: LimitAlgorithm;
  /** The limit is never lower. From 1. @defaultValue 1 */
  readonly min?: number;
  /** Nor higher. Up to 100,000. @defaultValue 1_000 */
  readonly max?: number;
  /** @defaultValue 20, within the bounds */
  readonly initial?: number;
  /** Calls of a partition, or of none, that wait when the limit is reached. 0 to 1,000,000. @defaultValue 0: refused at once */
  readonly queue?: number;
  /**
   * Shares of the limit by partition, which sum up to 1 at most. A partition may use what others leave, and gets its
   * share also while others fill the limit, which is exceeded by as much until they have ended. Calls of no partition
   * have no share.
   */
  readonly partitions?: Readonly<Record<string, number>>;
  /** Which partition a call belongs to. */
  readonly partition?: (context: Context) => string | undefined;
  /** Which errors say that the callee has too much. @defaultValue timeouts and errors of status 429 or 503 */
  readonly isOverload?: (error: Error) => boolean;
  /** Which calls the limit learns from: not health checks, which are always fast. @defaultValue all */
  readonly learnsFrom?: (context: Context) => boolean;
  /** @defaultValue systemClock */
  readonly clock?: Clock;
}

/** A limit that adapts. */
export interface AdaptiveConcurrency extends Policy {
  /** Calls that may run at a time at the moment. */
  readonly limit: number;
  readonly running: number;
  readonly waiting: number;
}

/** The defaults of `adaptiveConcurrency`. */
export const ADAPTIVE_CONCURRENCY_DEFAULTS: {
  readonly min: number;
  readonly max: number;
  readonly initial: number;
} = { min: 1, max: 1_000, initial: 20 };

/**
 * Limits calls to as many at a time as the callee can take, found from their latency and failures; no growth when idle.
 * Failures other than those of overload, refusals of policies further in and calls that their caller aborts teach it
 * nothing: a fast failure is no sign of health.
 *
 * @throws InvalidOptionError when an option is out of range.
 *
 * @example
 * ```ts
 * import { adaptiveConcurrency, gradient2 } from "@holdfast/breaker";
 *
 * const guard = adaptiveConcurrency({ algorithm: gradient2(), initial: 10, max: 200 });
 * await guard.run(() => "fine"); // => "fine"
 * guard.limit; // => 10
 * ```
 */
export function adaptiveConcurrency(options: AdaptiveConcurrencyOptions = {}): AdaptiveConcurrency {
  return new LimitedConcurrency(options);
}

/** What shares may be above 1 for being sums of fractions. */
const ROUNDING = 1e-9;

interface Partition {
  /** Of the limit. */
  readonly share: number;
  readonly slots: Slots;
}

/** Where calls without a partition go. */
const NO_PARTITION = "";

class LimitedConcurrency implements AdaptiveConcurrency {
  readonly kind = "adaptive-limit";
  readonly name: string;
  readonly #algorithm: string;
  readonly #adaptive: AdaptiveLimit;
  readonly #partitions: ReadonlyMap<string, Partition>;
  readonly #partitionOf: AdaptiveConcurrencyOptions["partition"];
  readonly #isOverload: (error: Error) => boolean;
  readonly #learnsFrom: (context: Context) => boolean;
  readonly #clock: Clock;
  #limit: number;
  #running = 0;
  /** The partitions, and which of them is next to be given what others leave. */
  readonly #all: readonly Partition[];
  #turn = 0;

  constructor(options: AdaptiveConcurrencyOptions) {
    const check = optionsOf("adaptiveConcurrency");
    const defaults = ADAPTIVE_CONCURRENCY_DEFAULTS;
    this.name = check.string("name", options.name, 255, this.kind);
    const min = check.integer("min", options.min, { min: 1, max: 100_000 }, defaults.min);
    const max = check.integer("max", options.max, { min, max: 100_000 }, Math.max(min, defaults.max));
    const usual = Math.min(max, Math.max(min, defaults.initial));
    this.#limit = check.integer("initial", options.initial, { min, max }, usual);
    const algorithm = options.algorithm ?? gradient2();
    if (typeof algorithm !== "object" || typeof algorithm.start !== "function")
      check.refuse("algorithm", algorithm, "gradient2() or aimd()");
    this.#algorithm = algorithm.name;
    this.#adaptive = algorithm.start({ min, max, initial: this.#limit });
    this.#partitionOf = check.function("partition", options.partition);
    this.#isOverload = check.function("isOverload", options.isOverload) ?? meansOverload;
    this.#learnsFrom = check.function("learnsFrom", options.learnsFrom) ?? (() => true);
    this.#clock = options.clock ?? systemClock;
    const queue = check.integer("queue", options.queue, { min: 0, max: 1_000_000 }, 0);
    const shares = Object.entries(options.partitions ?? {});
    for (const [key, share] of shares) check.number(`partitions.${key}`, share, { min: 0, max: 1 });
    const sum = shares.reduce((all, [, share]) => all + share, 0);
    if (sum > 1 + ROUNDING) check.refuse("partitions", sum, "shares that sum up to 1 at most");
    this.#partitions = new Map(
      [...shares, [NO_PARTITION, 0] as const].map(([key, share]) => [key, this.#partition(share, queue)]),
    );
    this.#all = [...this.#partitions.values()];
  }

  get limit(): number {
    return Math.max(1, Math.floor(this.#limit));
  }

  get running(): number {
    return this.#running;
  }

  get waiting(): number {
    let waiting = 0;
    for (const { slots } of this.#partitions.values()) waiting += slots.waiting;
    return waiting;
  }

  run<T>(task: Task<T>, options?: RunOptions): Promise<T> {
    const context = contextOf(options);
    return this.#partitionFor(context).slots.run(task, context, 0);
  }

  snapshot(): PolicySnapshot {
    const { kind, name, limit, running, waiting } = this;
    return { kind, name, algorithm: this.#algorithm, limit, running, waiting, ...this.#adaptive.state() };
  }

  describe(): PolicyDescription {
    const summary = `as many at a time as ${this.#algorithm} finds, now ${this.limit}`;
    return { kind: this.kind, name: this.name, summary };
  }

  #partition(share: number, queue: number): Partition {
    const slots: Slots = new Slots({
      queue,
      queueTimeoutMs: Infinity,
      clock: this.#clock,
      hasRoom: () => this.#running < this.limit || slots.running < share * this.#limit,
      refuse: (reason, retryAfterMs) => refused(this.name, reason, this.running, this.waiting, retryAfterMs),
      onStart: () => (this.#running += 1),
      onEnd: (ended) => {
        this.#learn(ended);
        this.#running -= 1;
        this.#fill();
      },
    });
    return { share, slots };
  }

  #partitionFor(context: Context): Partition {
    let key: string | undefined;
    try {
      key = this.#partitionOf?.(context);
    } catch {
      // One that cannot be told has no share.
    }
    return this.#partitions.get(key ?? NO_PARTITION) ?? this.#partitions.get(NO_PARTITION)!;
  }

  /** First those below their share; what is left goes round among all who wait. */
  #fill(): void {
    for (const { slots, share } of this.#all)
      while (slots.waiting > 0 && slots.running < share * this.#limit) slots.fillOne();
    for (let passed = 0; passed < this.#all.length && this.#running < this.limit;) {
      const { slots } = this.#all[this.#turn]!;
      this.#turn = (this.#turn + 1) % this.#all.length;
      passed = slots.waiting > 0 ? 0 : passed + 1;
      slots.fillOne();
    }
  }

  #learn({ context, aborted, error, startedAt, mark }: Ended): void {
    const dropped = error !== undefined && !isRefusedHere(error) && this.#says(() => this.#isOverload(error));
    if (aborted || (error !== undefined && !dropped) || !this.#says(() => this.#learnsFrom(context))) return;
    const rttMs = this.#clock.monotonic() - startedAt;
    this.#limit = this.#adaptive.update({ rttMs, inFlight: mark, dropped });
  }

  #says(ask: () => boolean): boolean {
    try {
      return ask();
    } catch {
      return false;
    }
  }
}
