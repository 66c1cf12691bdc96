import { concurrency, fixedWindow, rateLimiter, tokenBucket } from "@holdfast/ratelimit";
import type { Allowed, Decision, Limit, RateLimiter, Refused } from "@holdfast/ratelimit";
import { byIp, rateLimit } from "@holdfast/ratelimit/http";
import { describe, expectTypeOf, it } from "vitest";

const bucket = tokenBucket({ capacity: 1, refill: 1, per: "1s" });
const byUser = tokenBucket({ capacity: 1, refill: 1, per: "1s", by: "user" });
const byTenant = fixedWindow({ limit: 1, window: "1d", by: "tenant" });

describe("rateLimiter", () => {
  it("knows what its limits count by", () => {
    expectTypeOf(bucket).toEqualTypeOf<Limit<"key">>();
    expectTypeOf(rateLimiter({ limits: bucket })).toEqualTypeOf<RateLimiter>();
    expectTypeOf(rateLimiter({ limits: [byUser, byTenant] })).toEqualTypeOf<RateLimiter<"user" | "tenant">>();
  });

  it("takes a key where all limits count by one thing, and one for each where they do not", () => {
    rateLimiter({ limits: bucket }).tryTake("k");
    rateLimiter({ limits: byUser }).tryTake("k");
    rateLimiter({ limits: byUser }).tryTake({ user: "k" });
    const joint = rateLimiter({ limits: [byUser, byTenant] });
    joint.tryTake({ user: "1", tenant: "2" });
    // @ts-expect-error one key would count for both
    joint.tryTake("k");
    // @ts-expect-error the tenant is missing
    joint.tryTake({ user: "1" });
    // @ts-expect-error a key for each
    rateLimit({ limiter: joint, key: { user: byIp() } });
  });

  it("tells allowed from refused", () => {
    const decision = rateLimiter({ limits: concurrency({ limit: 1 }) }).tryTake("k");
    expectTypeOf(decision).toEqualTypeOf<Decision>();
    if (decision.allowed) expectTypeOf(decision).toEqualTypeOf<Allowed>();
    else expectTypeOf(decision).toEqualTypeOf<Refused>();
  });

  it("refuses durations that are none", () => {
    // @ts-expect-error not a duration
    tokenBucket({ capacity: 1, refill: 1, per: "1 second" });
  });
});
