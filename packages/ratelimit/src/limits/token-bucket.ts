// Token bucket: bursts up to its capacity, and a mean rate of its refill.
import type { Duration } from "@holdfast/core";
import { optionsOf } from "@holdfast/core";
import { bucketRate, BucketRule } from "./bucket.ts";
import { identityOf, MAX_QUOTA, periodOf } from "./checked.ts";
import type { Limit, LimitAlgorithm, LimitOptions } from "./limit.ts";

export interface TokenBucketOptions<By extends string = "key"> extends LimitOptions<By> {
  /** Tokens a full bucket holds: the largest burst. 1 to 1,000,000,000. */
  readonly capacity: number;
  /** Tokens that come back in each `per`, evenly. 1 to 1,000,000,000. */
  readonly refill: number;
  /** Whole milliseconds, up to 366 days. */
  readonly per: Duration;
}

/**
 * A bucket that holds `capacity` tokens, from which each call takes its cost, and into which `refill` tokens flow back
 * evenly over each `per`. In any time t at most `capacity + refill · t / per` are taken.
 *
 * @throws InvalidOptionError when an option is out of range.
 *
 * @example
 * ```ts
 * import { rateLimiter, tokenBucket } from "@holdfast/ratelimit";
 *
 * const limiter = rateLimiter({ limits: tokenBucket({ capacity: 10, refill: 2, per: "1s" }) });
 * limiter.tryTake("user:42").remaining; // => 9
 * ```
 */
export function tokenBucket<By extends string = "key">(options: TokenBucketOptions<By>): Limit<By> {
  const { capacity, refill, per } = options;
  return drainingLimit("token-bucket", options, { capacity, refill, per }, TOKEN_BUCKET);
}

const TOKEN_BUCKET: DrainNames = { owner: "tokenBucket", capacity: "capacity", refill: "refill", per: "per" };

/** What a maker calls its options. */
export interface DrainNames {
  readonly owner: string;
  readonly capacity: string;
  readonly refill: string;
  readonly per: string;
}

/** A limit whose debt drains evenly. */
export function drainingLimit<By extends string>(
  algorithm: LimitAlgorithm,
  identity: LimitOptions<By>,
  numbers: { readonly capacity: number; readonly refill: number; readonly per: Duration },
  names: DrainNames,
): Limit<By> {
  const check = optionsOf(names.owner);
  const { name, by } = identityOf(names.owner, identity, algorithm);
  const range = { min: 1, max: MAX_QUOTA };
  const capacity = check.integer(names.capacity, numbers.capacity, range);
  const refill = check.integer(names.refill, numbers.refill, range);
  const perMs = periodOf(names.owner, names.per, numbers.per);
  const build = (quota: number, periodMs: number): Limit<By> => ({
    name,
    by,
    algorithm,
    quota,
    windowMs: Math.ceil((quota * periodMs) / refill),
    rule: new BucketRule(bucketRate(names.owner, names, quota, refill, periodMs)),
    share: (instances) => build(Math.max(1, Math.floor(quota / instances)), periodMs * instances),
  });
  return build(capacity, perMs);
}
