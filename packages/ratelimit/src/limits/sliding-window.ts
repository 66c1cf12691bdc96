// Sliding window as two counters: the last window counts less the longer ago it ended.
import { optionsOf } from "@holdfast/core";
import { identityOf, MAX_QUOTA, periodOf } from "./checked.ts";
import type { WindowedState, WindowOptions } from "./fixed-window.ts";
import { renumber, windowLimit } from "./fixed-window.ts";
import type { Limit, Rule } from "./limit.ts";

/**
 * At most `limit` in the last `window`, estimated: what was taken in the window before counts as if it had come
 * evenly. Two numbers for each key. What comes unevenly can let through up to twice the limit; `slidingLog` is exact, and
 * `tokenBucket` is bounded at the same cost. It never rounds in the caller's favour, so that a limit of a few calls is
 * filled a little later than the window's end.
 *
 * @throws InvalidOptionError when an option is out of range.
 *
 * @example
 * ```ts
 * import { rateLimiter, slidingWindow } from "@holdfast/ratelimit";
 *
 * const limiter = rateLimiter({ limits: slidingWindow({ limit: 100, window: "1m" }) });
 * limiter.tryTake("user:42").remaining; // => 99
 * ```
 */
export function slidingWindow<By extends string = "key">(options: WindowOptions<By>): Limit<By> {
  const owner = "slidingWindow";
  const { name, by } = identityOf(owner, options, "sliding-window");
  const limit = optionsOf(owner).integer("limit", options.limit, { min: 1, max: MAX_QUOTA });
  const windowMs = periodOf(owner, "window", options.window);
  return windowLimit(limit, windowMs, (quota, lengthMs) => ({
    name,
    by,
    algorithm: "sliding-window",
    rule: slidingWindowRule(quota, lengthMs * 1_000, tickOf(quota, lengthMs)),
  }));
}

/** In microseconds: coarser where limit × window would need more than 53 bits. */
function tickOf(limit: number, windowMs: number): number {
  const room = Number.MAX_SAFE_INTEGER / 4;
  if (limit * windowMs * 1_000 <= room) return 1;
  if (limit * windowMs <= room) return 1_000;
  return optionsOf("slidingWindow").refuse(
    "limit",
    limit,
    `at most ${Math.floor(room / windowMs)} for this window`,
  );
}

export interface SlidingWindowState extends WindowedState {
  current: number;
  previous: number;
}

export function slidingWindowRule(limit: number, windowUs: number, tickUs: number): Rule<SlidingWindowState> {
  const ticks = windowUs / tickUs;

  /** Ticks of the current window that are over. A clock that was set back is at its beginning. */
  const elapsed = (state: SlidingWindowState, now: number): number =>
    Math.max(0, Math.floor((now - state.window * windowUs) / tickUs));
  /** How many ticks of a window must be over until `before`, of the window before it, leaves room for `wanted`. */
  const roomAfter = (before: number, wanted: number): number =>
    before === 0 ? 0 : Math.max(0, ticks - Math.floor(((limit - wanted) * ticks) / before));
  const startsIn = (state: SlidingWindowState, now: number, windows: number): number =>
    (state.window + windows) * windowUs - now;

  const waitFor = (state: SlidingWindowState, now: number, cost: number): number => {
    const { current, previous } = state;
    if (current + cost > limit) return startsIn(state, now, 1) + roomAfter(current, cost) * tickUs;
    const room = roomAfter(previous, current + cost);
    return room <= elapsed(state, now) ? 0 : startsIn(state, now, 0) + room * tickUs;
  };
  const remaining = (state: SlidingWindowState, now: number): number => {
    const weighted = Math.ceil((state.previous * (ticks - elapsed(state, now))) / ticks);
    return Math.max(0, limit - state.current - weighted);
  };

  return {
    kind: "sliding",
    parameters: [limit, windowUs, tickUs],
    create: () => ({ blockedUntil: 0, window: 0, windowUs, current: 0, previous: 0 }),
    advance: (state, now) => {
      if (renumber(state, windowUs)) {
        state.current += state.previous;
        state.previous = 0;
      }
      const window = Math.floor(now / windowUs);
      if (window <= state.window) return;
      state.previous = window === state.window + 1 ? state.current : 0;
      state.current = 0;
      state.window = window;
    },
    waitFor,
    spend: (state, _, cost) => {
      state.current += cost;
      return state.window;
    },
    refund: (state, _, cost, mark) => {
      if (mark === state.window) state.current = Math.max(0, state.current - cost);
      else if (mark === state.window - 1) state.previous = Math.max(0, state.previous - cost);
    },
    remaining,
    growsIn: (state, now) => {
      const left = remaining(state, now);
      return left >= limit ? 0 : waitFor(state, now, left + 1);
    },
    restsIn: (state, now) => {
      if (state.current > 0) return startsIn(state, now, 2);
      return state.previous > 0 ? startsIn(state, now, 1) : 0;
    },
  };
}
