// GCRA: a steady rate, with so many calls allowed early.
import type { Duration } from "@holdfast/core";
import type { Limit, LimitOptions } from "./limit.ts";
import type { DrainNames } from "./token-bucket.ts";
import { drainingLimit } from "./token-bucket.ts";

export interface GcraOptions<By extends string = "key"> extends LimitOptions<By> {
  /** Calls in each `per`, evenly spaced. 1 to 1,000,000,000. */
  readonly rate: number;
  /** Whole milliseconds, up to 366 days. */
  readonly per: Duration;
  /** Calls that may come at once. 1: none may come early. 1 to 1,000,000,000. @defaultValue 1 */
  readonly burst?: number;
}

/**
 * The generic cell rate algorithm (ATM Forum TM 4.0, 1996): calls conform that come no earlier than `per / rate` after
 * one another, give or take a `burst`. It decides exactly as a token bucket with a capacity of `burst` does.
 *
 * @throws InvalidOptionError when an option is out of range.
 *
 * @example
 * ```ts
 * import { gcra, rateLimiter } from "@holdfast/ratelimit";
 *
 * const limiter = rateLimiter({ limits: gcra({ rate: 10, per: "1s" }) });
 * limiter.tryTake("sensor").allowed; // => true
 * limiter.tryTake("sensor").allowed; // => false
 * ```
 */
export function gcra<By extends string = "key">(options: GcraOptions<By>): Limit<By> {
  const { rate, per, burst = 1 } = options;
  return drainingLimit("gcra", options, { capacity: burst, refill: rate, per }, GCRA);
}

const GCRA: DrainNames = { owner: "gcra", capacity: "burst", refill: "rate", per: "per" };
