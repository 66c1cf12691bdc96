// A bulkhead that tenants share: slots go round, so that one who asks for everything gets its turn and no more.
import type {
  Clock,
  Duration,
  Policy,
  PolicyDescription,
  PolicySnapshot,
  RunOptions,
  Task,
} from "@holdfast/core";
import { optionsOf, systemClock } from "@holdfast/core";
import { refused } from "./refused.ts";
import { Slots } from "./slots.ts";

export interface FairBulkheadOptions {
  /** @defaultValue "fair-bulkhead" */
  readonly name?: string;
  /** Calls that run at a time, of all keys together. 1 to 1,000,000. */
  readonly concurrent: number;
  /** Calls of one key that run at a time. @defaultValue `concurrent` */
  readonly concurrentPerKey?: number;
  /** Calls of one key that wait. 0 to 1,000,000. @defaultValue 0 */
  readonly queuePerKey?: number;
  /** Keys with calls that run or wait, at most; a new one beyond it is refused. @defaultValue 10_000 */
  readonly maxKeys?: number;
  /** Slots in a row that a key gets when all want some: its share. 1 to 1,000, held within. @defaultValue 1 for every key */
  readonly weight?: (key: string) => number;
  /** How long a call may wait. @defaultValue as long as its caller does */
  readonly queueTimeout?: Duration;
  /** @defaultValue systemClock */
  readonly clock?: Clock;
}

/** A bulkhead for many keys. */
export interface FairBulkhead {
  readonly name: string;
  readonly running: number;
  readonly waiting: number;
  /** Keys with calls that run or wait. */
  readonly keys: number;
  /** The bulkhead as a key sees it: a policy. Costs nothing to ask for again. */
  for(key: string): Policy;
  snapshot(): PolicySnapshot;
}

/** The defaults of `fairBulkhead`. */
export const FAIR_BULKHEAD_DEFAULTS: { readonly maxKeys: number } = { maxKeys: 10_000 };

/**
 * Shares slots between tenants: while several wait, a free slot goes to the next of them in turn (weighted round robin),
 * however many calls each has waiting. Within a key the order is strict.
 *
 * @throws InvalidOptionError when an option is out of range.
 *
 * @example
 * ```ts
 * import { fairBulkhead } from "@holdfast/breaker";
 *
 * const shared = fairBulkhead({ concurrent: 10, queuePerKey: 100 });
 * await shared.for("tenant-1").run(() => "fine"); // => "fine"
 * ```
 */
export function fairBulkhead(options: FairBulkheadOptions): FairBulkhead {
  return new SharedBulkhead(options);
}

/** No key can have so many that the others wait for ever. */
const MAX_WEIGHT = 1_000;

/** One key that has calls. */
interface Tenant {
  readonly slots: Slots;
  /** Slots left to it in this turn. */
  credit: number;
}

class SharedBulkhead implements FairBulkhead {
  readonly name: string;
  readonly #concurrent: number;
  readonly #perKey: number;
  readonly #queuePerKey: number;
  readonly #queueTimeoutMs: number;
  readonly #maxKeys: number;
  readonly #weight: ((key: string) => number) | undefined;
  readonly #clock: Clock;
  /** In the order of their turns: the first goes next. */
  readonly #tenants = new Map<string, Tenant>();
  #running = 0;
  #waiting = 0;
  /** Whose turn it is to be given a slot; nobody may take one by itself meanwhile. */
  #turn: Tenant | undefined;

  constructor(options: FairBulkheadOptions) {
    const check = optionsOf("fairBulkhead");
    const counts = { min: 1, max: 1_000_000 };
    this.name = check.string("name", options.name, 255, "fair-bulkhead");
    this.#concurrent = check.integer("concurrent", options.concurrent, counts);
    this.#perKey = check.integer("concurrentPerKey", options.concurrentPerKey, counts, this.#concurrent);
    this.#queuePerKey = check.integer("queuePerKey", options.queuePerKey, { ...counts, min: 0 }, 0);
    this.#maxKeys = check.integer("maxKeys", options.maxKeys, counts, FAIR_BULKHEAD_DEFAULTS.maxKeys);
    this.#weight = check.function("weight", options.weight);
    this.#queueTimeoutMs =
      options.queueTimeout === undefined
        ? Infinity
        : check.duration("queueTimeout", options.queueTimeout, { min: 1 });
    this.#clock = options.clock ?? systemClock;
  }

  get running(): number {
    return this.#running;
  }

  get waiting(): number {
    return this.#waiting;
  }

  get keys(): number {
    return this.#tenants.size;
  }

  for(key: string): Policy {
    optionsOf("for").string("key", key);
    const name = `${this.name}:${key}`;
    return {
      kind: "bulkhead",
      name,
      run: (task, options) => this.#run(key, task, options),
      snapshot: () => {
        const slots = this.#tenants.get(key)?.slots;
        return { kind: "bulkhead", name, running: slots?.running ?? 0, waiting: slots?.waiting ?? 0 };
      },
      describe: (): PolicyDescription => ({
        kind: "bulkhead",
        name,
        summary: `at most ${this.#perKey} of ${this.#concurrent} at a time, ${this.#queuePerKey} waiting`,
      }),
    };
  }

  snapshot(): PolicySnapshot {
    const { name, running, waiting, keys } = this;
    return { kind: "fair-bulkhead", name, concurrent: this.#concurrent, running, waiting, keys };
  }

  async #run<T>(key: string, task: Task<T>, options: RunOptions | undefined): Promise<T> {
    const tenant = this.#tenants.get(key) ?? this.#join(key);
    try {
      return await tenant.slots.run(task, options, 0);
    } finally {
      if (tenant.slots.running === 0 && tenant.slots.waiting === 0 && this.#tenants.get(key) === tenant)
        this.#tenants.delete(key);
    }
  }

  #join(key: string): Tenant {
    if (this.#tenants.size >= this.#maxKeys) throw refused(this.name, "full", this.#running, 0, undefined);
    const tenant: Tenant = {
      credit: this.#weightOf(key),
      slots: new Slots({
        queue: this.#queuePerKey,
        queueTimeoutMs: this.#queueTimeoutMs,
        clock: this.#clock,
        hasRoom: () => this.#hasRoom(tenant),
        refuse: (reason, retryAfterMs) =>
          refused(this.name, reason, this.#running, tenant.slots.waiting, retryAfterMs),
        onStart: () => (this.#running += 1),
        onEnd: () => {
          this.#running -= 1;
          this.#giveOut();
        },
        onWaiting: (change) => {
          this.#waiting += change;
        },
      }),
    };
    this.#tenants.set(key, tenant);
    return tenant;
  }

  #hasRoom(tenant: Tenant): boolean {
    if (this.#running >= this.#concurrent || tenant.slots.running >= this.#perKey) return false;
    // While somebody waits, slots are given out in turn.
    return (
      this.#turn === tenant ||
      (this.#turn === undefined && (this.#waiting === 0 || this.#next() === undefined))
    );
  }

  /** Gives free slots to those whose turn it is, one by one. */
  #giveOut(): void {
    while (this.#running < this.#concurrent) {
      const next = this.#next();
      if (next === undefined) return;
      const [key, tenant] = next;
      const before = this.#running;
      this.#turn = tenant;
      tenant.slots.fillOne();
      this.#turn = undefined;
      if (this.#running === before) return;
      tenant.credit -= 1;
      if (tenant.credit > 0) continue;
      // Its turn is over: behind all others.
      tenant.credit = this.#weightOf(key);
      this.#tenants.delete(key);
      this.#tenants.set(key, tenant);
    }
  }

  /** The first in turn of those who wait and may run. */
  #next(): readonly [string, Tenant] | undefined {
    for (const [key, tenant] of this.#tenants)
      if (tenant.slots.waiting > 0 && tenant.slots.running < this.#perKey) return [key, tenant];
    return undefined;
  }

  #weightOf(key: string): number {
    try {
      const weight = Math.floor(this.#weight?.(key) ?? 1);
      return weight >= 1 ? Math.min(weight, MAX_WEIGHT) : 1;
    } catch {
      return 1;
    }
  }
}
