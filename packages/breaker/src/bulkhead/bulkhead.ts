// A bulkhead: so many calls at a time, so many that wait, and no more.
import type {
  Clock,
  Duration,
  Policy,
  PolicyDescription,
  PolicySnapshot,
  RunOptions,
  Task,
} from "@holdfast/core";
import { InvalidOptionError, optionsOf, systemClock } from "@holdfast/core";
import { refused } from "./refused.ts";
import { Slots } from "./slots.ts";

export type { BulkheadRefusedEvent } from "./refused.ts";

export interface BulkheadOptions {
  /** @defaultValue "bulkhead" */
  readonly name?: string;
  /** Calls that run at a time. 1 to 1,000,000. */
  readonly concurrent: number;
  /** Calls that wait when all slots are taken. 0 to 1,000,000. @defaultValue 0: refused at once */
  readonly queue?: number;
  /** How long a call may wait. @defaultValue as long as its caller does */
  readonly queueTimeout?: Duration;
  /** @defaultValue systemClock */
  readonly clock?: Clock;
}

/** What one call through a bulkhead may be told. */
export interface BulkheadRunOptions extends RunOptions {
  /** Higher goes first among those who wait. An integer from -100 to 100. @defaultValue 0 */
  readonly priority?: number;
}

/** A bulkhead. */
export interface Bulkhead extends Policy {
  readonly running: number;
  readonly waiting: number;
  /**
   * Runs the task in a slot, or waits for one.
   *
   * @throws BulkheadFullError when there is no slot and no place to wait, or none became free in time.
   */
  run<T>(task: Task<T>, options?: BulkheadRunOptions): Promise<T>;
}

const MAX_PRIORITY = 100;

/**
 * Bounds how many calls run at a time, so that one slow dependency does not take all of a process with it.
 *
 * - Those who wait go strictly by priority, then in the order they came; a newcomer never takes a slot that has become
 *   free before them, and nobody who waits is refused for it.
 * - An abort or `queueTimeout` ends a wait at once and frees its place.
 * - A slot is taken until the task has really ended, also when a timeout around it has given it up.
 *
 * @throws InvalidOptionError when an option is out of range.
 *
 * @example
 * ```ts
 * import { bulkhead } from "@holdfast/breaker";
 *
 * const two = bulkhead({ concurrent: 2 });
 * const hanging = () => two.run(() => new Promise(() => {}));
 * void hanging();
 * void hanging();
 * await hanging().catch((error) => error.code); // => "BULKHEAD_FULL"
 * ```
 */
export function bulkhead(options: BulkheadOptions): Bulkhead {
  return new SlotBulkhead(options);
}

class SlotBulkhead implements Bulkhead {
  readonly kind = "bulkhead";
  readonly name: string;
  readonly #concurrent: number;
  readonly #queue: number;
  readonly #slots: Slots;

  constructor(options: BulkheadOptions) {
    const check = optionsOf("bulkhead");
    this.name = check.string("name", options.name, 255, this.kind);
    this.#concurrent = check.integer("concurrent", options.concurrent, { min: 1, max: 1_000_000 });
    this.#queue = check.integer("queue", options.queue, { min: 0, max: 1_000_000 }, 0);
    this.#slots = new Slots({
      queue: this.#queue,
      queueTimeoutMs:
        options.queueTimeout === undefined
          ? Infinity
          : check.duration("queueTimeout", options.queueTimeout, { min: 1 }),
      clock: options.clock ?? systemClock,
      hasRoom: () => this.#slots.running < this.#concurrent,
      refuse: (reason, retryAfterMs) => refused(this.name, reason, this.running, this.waiting, retryAfterMs),
    });
  }

  get running(): number {
    return this.#slots.running;
  }

  get waiting(): number {
    return this.#slots.waiting;
  }

  run<T>(task: Task<T>, options?: BulkheadRunOptions): Promise<T> {
    const priority = options?.priority ?? 0;
    if (Number.isInteger(priority) && Math.abs(priority) <= MAX_PRIORITY)
      return this.#slots.run(task, options, priority);
    const expected = `an integer from -${MAX_PRIORITY} to ${MAX_PRIORITY}`;
    return Promise.reject(new InvalidOptionError("run", "priority", priority, expected));
  }

  snapshot(): PolicySnapshot {
    return {
      kind: this.kind,
      name: this.name,
      concurrent: this.#concurrent,
      queue: this.#queue,
      running: this.running,
      waiting: this.waiting,
    };
  }

  describe(): PolicyDescription {
    const summary = `at most ${this.#concurrent} at a time, ${this.#queue} waiting`;
    return { kind: this.kind, name: this.name, summary };
  }
}
