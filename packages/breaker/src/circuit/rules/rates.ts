// What the rules over windows have in common: rates, and how many calls they need to mean anything.
import type { OptionReader } from "@holdfast/core";

export interface RateOptions {
  /** Share of calls that may fail; the breaker trips when it is reached. Above 0, up to 1. @defaultValue 0.5 */
  readonly failureRate?: number;
  /**
   * Share of calls that may be slow (`slowCall` of the breaker says what that is); trips when it is reached. Above 0,
   * up to 1. @defaultValue slow calls do not count
   */
  readonly slowRate?: number;
  /** Calls below which no rate means anything. From 1. @defaultValue 20 */
  readonly minCalls?: number;
}

/** {@link RateOptions}, checked. */
export interface Rates {
  readonly failureRate: number;
  /** `Infinity` when slow calls do not count. */
  readonly slowRate: number;
  readonly minCalls: number;
}

/** Most calls the smallest meaningful window is made of, unless told otherwise. */
const DEFAULT_MIN_CALLS = 20;
const SMALLEST_RATE = 1e-6;

/** @throws InvalidOptionError */
export function ratesOf(check: OptionReader, options: RateOptions, maxCalls: number): Rates {
  const share = { min: SMALLEST_RATE, max: 1 };
  return {
    failureRate: check.number("failureRate", options.failureRate, share, 0.5),
    slowRate: options.slowRate === undefined ? Infinity : check.number("slowRate", options.slowRate, share),
    minCalls: check.integer(
      "minCalls",
      options.minCalls,
      { min: 1, max: maxCalls },
      Math.min(DEFAULT_MIN_CALLS, maxCalls),
    ),
  };
}

/** Whether these counts are reason to trip. */
export function exceeds(
  { failureRate, slowRate, minCalls }: Rates,
  calls: number,
  failures: number,
  slow: number,
): boolean {
  return calls >= minCalls && (failures >= failureRate * calls || slow >= slowRate * calls);
}

/** Such as `50% of at least 20 calls fail or 80% are slow`. */
export function rateText({ failureRate, slowRate, minCalls }: Rates): string {
  const percent = (share: number): string => `${Number((share * 100).toPrecision(3))}%`;
  const slow = slowRate === Infinity ? "" : ` or ${percent(slowRate)} are slow`;
  return `${percent(failureRate)} of at least ${minCalls} calls fail${slow}`;
}
