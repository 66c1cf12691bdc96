// Concurrency: so many at a time, each under a lease, so that one that died is not counted for ever.
import type { Duration } from "@holdfast/core";
import { optionsOf } from "@holdfast/core";
import { identityOf, periodOf } from "./checked.ts";
import type { Limit, LimitOptions, LimitState, Rule } from "./limit.ts";

export interface ConcurrencyOptions<By extends string = "key"> extends LimitOptions<By> {
  /** Most at a time. 1 to 10,000. */
  readonly limit: number;
  /**
   * After which a place is given to others whose holder has neither given it back nor renewed it. Whole milliseconds,
   * up to 366 days. @defaultValue "30s"
   */
  readonly lease?: Duration;
}

/** The defaults of `concurrency`. */
export const CONCURRENCY_DEFAULTS: { readonly leaseMs: number } = { leaseMs: 30_000 };

/** Most places of one limit. */
const MAX_PLACES = 10_000;

/**
 * At most `limit` at a time. What is taken must be given back, with `limiter.refund` or by running under
 * `limiter.for(key)`, which also renews the lease.
 *
 * @throws InvalidOptionError when an option is out of range.
 *
 * @example
 * ```ts
 * import { concurrency, rateLimiter } from "@holdfast/ratelimit";
 *
 * const exports = rateLimiter({ limits: concurrency({ limit: 2, lease: "1m" }) });
 * await exports.for("tenant:1").run(() => "exported"); // => "exported"
 * ```
 */
export function concurrency<By extends string = "key">(options: ConcurrencyOptions<By>): Limit<By> {
  const owner = "concurrency";
  const { name, by } = identityOf(owner, options, "concurrency");
  const limit = optionsOf(owner).integer("limit", options.limit, { min: 1, max: MAX_PLACES });
  const leaseMs = periodOf(owner, "lease", options.lease ?? CONCURRENCY_DEFAULTS.leaseMs);
  const build = (quota: number): Limit<By> => ({
    name,
    by,
    algorithm: "concurrency",
    quota,
    windowMs: leaseMs,
    rule: slotsRule(quota, leaseMs * 1_000),
    share: (instances) => build(Math.max(1, Math.floor(quota / instances))),
  });
  return build(limit);
}

export interface SlotsState extends LimitState {
  /** By the number of the lease. */
  readonly leases: Map<number, { endsAt: number; cost: number }>;
  used: number;
  /** Number of the last lease. Never comes again, so that nobody gives back another's place. */
  last: number;
}

export function slotsRule(limit: number, leaseUs: number): Rule<SlotsState> {
  /** Until so much is free again, if no lease is given back or renewed. */
  const freesIn = (state: SlotsState, now: number, amount: number): number => {
    if (amount <= 0) return 0;
    let left = amount;
    for (const { endsAt, cost } of [...state.leases.values()].sort((a, b) => a.endsAt - b.endsAt)) {
      left -= cost;
      if (left <= 0) return endsAt - now;
    }
    return leaseUs;
  };

  return {
    kind: "slots",
    parameters: [limit, leaseUs],
    create: () => ({ blockedUntil: 0, leases: new Map(), used: 0, last: 0 }),
    advance: (state, now) => {
      for (const [mark, { endsAt, cost }] of state.leases)
        if (endsAt <= now) {
          state.leases.delete(mark);
          state.used -= cost;
        }
    },
    waitFor: (state, now, cost) => freesIn(state, now, state.used + cost - limit),
    spend: (state, now, cost) => {
      // By the time, so that numbers go on even where the state was lost.
      state.last = Math.max(state.last + 1, now);
      if (cost > 0) state.leases.set(state.last, { endsAt: now + leaseUs, cost });
      state.used += cost;
      return state.last;
    },
    refund: (state, _, cost, mark) => {
      const lease = state.leases.get(mark);
      if (lease === undefined) return;
      const back = Math.min(cost, lease.cost);
      state.used -= back;
      lease.cost -= back;
      if (lease.cost === 0) state.leases.delete(mark);
    },
    renew: (state, now, mark) => {
      const lease = state.leases.get(mark);
      if (lease === undefined) return false;
      lease.endsAt = now + leaseUs;
      return true;
    },
    remaining: (state) => Math.max(0, limit - state.used),
    growsIn: (state, now) =>
      state.used === 0 ? 0 : freesIn(state, now, Math.max(1, state.used - limit + 1)),
    restsIn: (state, now) => freesIn(state, now, state.used),
  };
}
