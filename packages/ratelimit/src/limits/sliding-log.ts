// Sliding window, exact: remembers when each was taken.
import { optionsOf } from "@holdfast/core";
import { identityOf, periodOf } from "./checked.ts";
import type { WindowOptions } from "./fixed-window.ts";
import { windowLimit } from "./fixed-window.ts";
import type { Limit, LimitState, Rule } from "./limit.ts";

/** Most that an exact log remembers for a key. */
export const MAX_LOG = 10_000;

/**
 * At most `limit` in any `window`, exactly. It remembers up to `limit` times for each key, 16 bytes each, so it is for
 * small limits that must hold to the letter.
 *
 * @throws InvalidOptionError when an option is out of range; `limit` goes up to 10,000.
 *
 * @example
 * ```ts
 * import { rateLimiter, slidingLog } from "@holdfast/ratelimit";
 *
 * const logins = rateLimiter({ limits: slidingLog({ limit: 5, window: "15m" }) });
 * logins.tryTake("user:42").remaining; // => 4
 * ```
 */
export function slidingLog<By extends string = "key">(options: WindowOptions<By>): Limit<By> {
  const owner = "slidingLog";
  const { name, by } = identityOf(owner, options, "sliding-log");
  const limit = optionsOf(owner).integer("limit", options.limit, { min: 1, max: MAX_LOG });
  const windowMs = periodOf(owner, "window", options.window);
  return windowLimit(limit, windowMs, (quota, lengthMs) => ({
    name,
    by,
    algorithm: "sliding-log",
    rule: slidingLogRule(quota, lengthMs * 1_000),
  }));
}

export interface SlidingLogState extends LimitState {
  /** When something was taken, the oldest first, and how much. */
  readonly times: number[];
  readonly costs: number[];
  total: number;
}

export function slidingLogRule(limit: number, windowUs: number): Rule<SlidingLogState> {
  /** Until so much less counts; a whole window where there is not as much. */
  const freesIn = ({ times, costs }: SlidingLogState, now: number, amount: number): number => {
    let left = amount;
    for (let index = 0; index < times.length && left > 0; index += 1) {
      left -= costs[index]!;
      if (left <= 0) return times[index]! + windowUs - now;
    }
    return left > 0 ? windowUs : 0;
  };

  return {
    kind: "log",
    parameters: [limit, windowUs],
    create: () => ({ blockedUntil: 0, times: [], costs: [], total: 0 }),
    advance: (state, now) => {
      const { times, costs } = state;
      let old = 0;
      while (old < times.length && times[old]! <= now - windowUs) {
        state.total -= costs[old]!;
        old += 1;
      }
      if (old === 0) return;
      times.splice(0, old);
      costs.splice(0, old);
    },
    waitFor: (state, now, cost) => freesIn(state, now, state.total + cost - limit),
    spend: (state, now, cost) => {
      const { times, costs } = state;
      // A clock that was set back adds to the latest.
      const time = Math.max(now, times.at(-1) ?? now);
      if (cost === 0) return time;
      state.total += cost;
      if (times.at(-1) === time) costs[costs.length - 1]! += cost;
      else {
        times.push(time);
        costs.push(cost);
      }
      return time;
    },
    refund: (state, _, cost, mark) => {
      const index = state.times.lastIndexOf(mark);
      if (index === -1) return;
      const back = Math.min(cost, state.costs[index]!);
      state.total -= back;
      state.costs[index]! -= back;
      if (state.costs[index] !== 0) return;
      state.times.splice(index, 1);
      state.costs.splice(index, 1);
    },
    remaining: (state) => Math.max(0, limit - state.total),
    growsIn: (state, now) =>
      state.total === 0 ? 0 : freesIn(state, now, Math.max(1, state.total - limit + 1)),
    restsIn: (state, now) => freesIn(state, now, state.total),
  };
}
