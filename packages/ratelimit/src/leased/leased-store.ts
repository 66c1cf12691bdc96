// Quota on loan: a process borrows from a shared store what it will need soon, and decides by itself.
import type { Clock, Duration, Random } from "@holdfast/core";
import { optionsOf, systemClock, systemRandom } from "@holdfast/core";
import type { Limit } from "../limits/limit.ts";
import type { Ledger, RateLimitStore, RateLimitStoreTraits } from "../store.ts";
import type { LeaseSettings } from "./leased-ledger.ts";
import { LeasedLedger } from "./leased-ledger.ts";

export interface LeasedStoreOptions {
  /** The shared store. Closed with this one. */
  readonly store: RateLimitStore;
  /**
   * How long what was borrowed can be used; then it is given back. The longer, the fewer questions, and the more can be
   * late: see the bound. Whole milliseconds, 10 ms to 1 min. @defaultValue "1s"
   */
  readonly lease?: Duration;
  /** Most that is borrowed at a time, as a share of the limit's quota. Above 0, up to 1. @defaultValue 0.1 */
  readonly maxShare?: number;
  /** Most subjects with something borrowed; of others each take asks the store. 1 to 1,000,000. @defaultValue 10_000 */
  readonly maxKeys?: number;
  /** @defaultValue systemClock */
  readonly clock?: Clock;
  /** When to ask again after there was none. @defaultValue systemRandom */
  readonly random?: Random;
}

/** The defaults of `leasedStore`. */
export const LEASED_STORE_DEFAULTS: {
  readonly leaseMs: number;
  readonly maxShare: number;
  readonly maxKeys: number;
} = { leaseMs: 1_000, maxShare: 0.1, maxKeys: 10_000 };

/**
 * A store in front of a shared one that borrows quota in slices, as large as this process has just needed, and takes from
 * them without asking. What it does not use it gives back.
 *
 * **The bound.** What is borrowed is counted at once, and used within `lease`. So all processes together let through, in any
 * time t, no more than the limit allows in `t + lease`: of a token bucket `capacity + refill · (t + lease) / per`. That
 * holds however many processes there are, and whether they crash, stop or lose the store; one that crashes loses what it
 * had borrowed to everybody, until it has come back by itself.
 *
 * A take of another cost for each limit, with other limits for this call, or larger than what is borrowed, asks the store. So does `peek`,
 * which does not count what is on loan as free. What others do is seen when it next borrows: a `block` or a `reset` within `lease`.
 *
 * @throws InvalidOptionError when an option is out of range; from `open` for a `concurrency` limit, which cannot be lent.
 *
 * @example
 * ```ts
 * import { leasedStore, memoryRateLimitStore, rateLimiter, tokenBucket } from "@holdfast/ratelimit";
 *
 * // In place of the memory store: redisRateLimitStore({ client }).
 * const store = leasedStore({ store: memoryRateLimitStore(), lease: "500ms" });
 * const limiter = rateLimiter({
 *   store,
 *   limits: tokenBucket({ capacity: 1_000, refill: 1_000, per: "1s" }),
 *   onStoreError: "open",
 * });
 * (await limiter.take("tenant:1")).allowed; // => true
 * await store.close();
 * ```
 */
export function leasedStore(options: LeasedStoreOptions): RateLimitStore {
  const check = optionsOf("leasedStore");
  const { leaseMs, maxShare, maxKeys } = LEASED_STORE_DEFAULTS;
  if (typeof options.store?.open !== "function")
    check.refuse("store", options.store, "a store of rate limits");
  return new LeasedStore(options.store, {
    leaseMs: check.duration("lease", options.lease, { min: 10, max: 60_000 }, leaseMs),
    maxShare: check.number("maxShare", options.maxShare, { min: 0.000_001, max: 1 }, maxShare),
    maxKeys: check.integer("maxKeys", options.maxKeys, { min: 1, max: 1_000_000 }, maxKeys),
    clock: options.clock ?? systemClock,
    random: check.function("random", options.random) ?? systemRandom,
  });
}

class LeasedStore implements RateLimitStore {
  readonly traits: RateLimitStoreTraits = { shared: true, clock: "server" };
  readonly #ledgers = new Map<string, LeasedLedger>();

  constructor(
    private readonly store: RateLimitStore,
    private readonly settings: LeaseSettings,
  ) {}

  open(name: string, limits: readonly Limit[]): Ledger {
    const known = this.#ledgers.get(name);
    if (known !== undefined) return known;
    for (const { algorithm, name: limit } of limits)
      if (algorithm === "concurrency")
        optionsOf("leasedStore").refuse(
          "limits",
          limit,
          "limits other than concurrency, whose places cannot be lent",
        );
    const ledger = new LeasedLedger(this.store.open(name, limits), limits, this.settings);
    this.#ledgers.set(name, ledger);
    return ledger;
  }

  async close(): Promise<void> {
    await Promise.all([...this.#ledgers.values()].map((ledger) => ledger.close()));
    this.#ledgers.clear();
    await this.store.close();
  }
}
