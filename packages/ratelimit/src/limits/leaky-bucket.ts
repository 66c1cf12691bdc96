// Leaky bucket as a meter: what is poured in leaks at a constant rate, and what would overflow is refused.
import type { Duration } from "@holdfast/core";
import type { Limit, LimitOptions } from "./limit.ts";
import type { DrainNames } from "./token-bucket.ts";
import { drainingLimit } from "./token-bucket.ts";

export interface LeakyBucketOptions<By extends string = "key"> extends LimitOptions<By> {
  /** What the bucket holds before it overflows. 1 to 1,000,000,000. */
  readonly capacity: number;
  /** What leaks out in each `per`, evenly. 1 to 1,000,000,000. */
  readonly leak: number;
  /** Whole milliseconds, up to 366 days. */
  readonly per: Duration;
}

/**
 * A bucket into which each call pours its cost and which leaks evenly; what would overflow is refused (Turner, "New
 * directions in communications", 1986). It decides exactly as a token bucket of the same numbers does. For a bucket
 * that delays instead of refusing, see `leakyQueue`.
 *
 * @throws InvalidOptionError when an option is out of range.
 *
 * @example
 * ```ts
 * import { leakyBucket, rateLimiter } from "@holdfast/ratelimit";
 *
 * const limiter = rateLimiter({ limits: leakyBucket({ capacity: 2, leak: 1, per: "1s" }) });
 * limiter.tryTake("printer", { cost: 2 }).allowed; // => true
 * limiter.tryTake("printer").allowed; // => false
 * ```
 */
export function leakyBucket<By extends string = "key">(options: LeakyBucketOptions<By>): Limit<By> {
  const { capacity, leak, per } = options;
  return drainingLimit("leaky-bucket", options, { capacity, refill: leak, per }, LEAKY_BUCKET);
}

const LEAKY_BUCKET: DrainNames = { owner: "leakyBucket", capacity: "capacity", refill: "leak", per: "per" };
