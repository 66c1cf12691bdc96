// Fixed window: so many in each minute of the clock.
import type { Duration } from "@holdfast/core";
import { optionsOf } from "@holdfast/core";
import { identityOf, MAX_QUOTA, periodOf } from "./checked.ts";
import type { Limit, LimitOptions, LimitState, Rule } from "./limit.ts";

export interface WindowOptions<By extends string = "key"> extends LimitOptions<By> {
  /** Most in one window. 1 to 1,000,000,000; see the algorithm for less. */
  readonly limit: number;
  /** Whole milliseconds, up to 366 days. */
  readonly window: Duration;
}

/**
 * At most `limit` in each window; windows begin at multiples of their length since 1970-01-01T00:00Z. Cheap and easy to
 * explain, but two windows that meet can let through twice the limit within one window's time.
 *
 * @throws InvalidOptionError when an option is out of range.
 *
 * @example
 * ```ts
 * import { fixedWindow, rateLimiter } from "@holdfast/ratelimit";
 *
 * const limiter = rateLimiter({ limits: fixedWindow({ limit: 1_000, window: "1d" }) });
 * limiter.tryTake("account:7", { cost: 400 }).remaining; // => 600
 * ```
 */
export function fixedWindow<By extends string = "key">(options: WindowOptions<By>): Limit<By> {
  const owner = "fixedWindow";
  const { name, by } = identityOf(owner, options, "fixed-window");
  const limit = optionsOf(owner).integer("limit", options.limit, { min: 1, max: MAX_QUOTA });
  const windowMs = periodOf(owner, "window", options.window);
  return windowLimit(limit, windowMs, (quota, lengthMs) => ({
    name,
    by,
    algorithm: "fixed-window",
    rule: fixedWindowRule(quota, lengthMs * 1_000),
  }));
}

/** Adds what limits with a window have in common. */
export function windowLimit<By extends string>(
  quota: number,
  windowMs: number,
  of: (quota: number, windowMs: number) => Pick<Limit<By>, "name" | "by" | "algorithm" | "rule">,
): Limit<By> {
  return {
    ...of(quota, windowMs),
    quota,
    windowMs,
    // Where there is less than one for each instance, each gets one in a longer time.
    share: (instances) =>
      quota >= instances
        ? windowLimit(Math.floor(quota / instances), windowMs, of)
        : windowLimit(1, windowMs * Math.ceil(instances / quota), of),
  };
}

/** A state that counts in numbered windows. */
export interface WindowedState extends LimitState {
  /** Number of the window. */
  window: number;
  /** Length of the window when that was written, in microseconds. */
  windowUs: number;
}

export interface FixedWindowState extends WindowedState {
  count: number;
}

/**
 * Numbers the window anew for another length, by the end of the old one: what was counted counts until then, never less.
 *
 * @returns whether the length is another.
 */
export function renumber(state: WindowedState, windowUs: number): boolean {
  if (state.windowUs === windowUs) return false;
  state.window = Math.floor(((state.window + 1) * state.windowUs - 1) / windowUs);
  state.windowUs = windowUs;
  return true;
}

export function fixedWindowRule(limit: number, windowUs: number): Rule<FixedWindowState> {
  const endsIn = (state: FixedWindowState, now: number): number => (state.window + 1) * windowUs - now;
  const restsIn = (state: FixedWindowState, now: number): number =>
    state.count === 0 ? 0 : endsIn(state, now);

  return {
    kind: "fixed",
    parameters: [limit, windowUs],
    create: () => ({ blockedUntil: 0, window: 0, windowUs, count: 0 }),
    advance: (state, now) => {
      renumber(state, windowUs);
      const window = Math.floor(now / windowUs);
      // A clock that was set back stays in the window where it was.
      if (window <= state.window) return;
      state.window = window;
      state.count = 0;
    },
    waitFor: (state, now, cost) => (state.count + cost <= limit ? 0 : endsIn(state, now)),
    spend: (state, _, cost) => {
      state.count += cost;
      return state.window;
    },
    refund: (state, _, cost, mark) => {
      // Of a window that is over, nothing counts any more.
      if (state.window === mark) state.count = Math.max(0, state.count - cost);
    },
    remaining: (state) => Math.max(0, limit - state.count),
    growsIn: restsIn,
    restsIn,
  };
}
