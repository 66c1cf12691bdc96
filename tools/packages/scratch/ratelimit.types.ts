// Uses @holdfast/ratelimit from strict TypeScript.
import type { Decision, RateLimiter, RateLimitStore } from "@holdfast/ratelimit";
import { fixedWindow, rateLimiter, tokenBucket } from "@holdfast/ratelimit";
import type { RateLimitHttpOptions } from "@holdfast/ratelimit/http";
import { byAll, byHeader, byIp, expressRateLimit } from "@holdfast/ratelimit/http";
import { redisRateLimitStore } from "@holdfast/ratelimit/redis";

export const limiter: RateLimiter<"user" | "tenant"> = rateLimiter({
  limits: [
    tokenBucket({ capacity: 10, refill: 2, per: "1s", by: "user" }),
    fixedWindow({ limit: 1_000, window: "1d", by: "tenant" }),
  ],
});
export const decision: Decision = limiter.tryTake({ user: "42", tenant: "acme" }, { cost: 2 });
export const store = (client: {
  evalsha: () => Promise<unknown>;
  eval: () => Promise<unknown>;
}): RateLimitStore => redisRateLimitStore({ client });
export const options: RateLimitHttpOptions<"user" | "tenant"> = {
  limiter,
  key: { user: byAll(byHeader("x-user"), byIp()), tenant: byHeader("x-tenant") },
};
export const middleware: unknown = expressRateLimit(options);

// @ts-expect-error the tenant is missing
limiter.tryTake({ user: "42" });
