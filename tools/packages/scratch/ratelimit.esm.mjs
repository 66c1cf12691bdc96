// Uses @holdfast/ratelimit from an ES module.
import { withMiddleware } from "@holdfast/core";
import { manualClock } from "@holdfast/core/testing";
import { leakyQueue, leasedStore, memoryRateLimitStore, rateLimiter, tokenBucket } from "@holdfast/ratelimit";
import { byHeader, rateLimit } from "@holdfast/ratelimit/http";
import { redisRateLimitStore } from "@holdfast/ratelimit/redis";
import { rateLimitStoreConformance } from "@holdfast/ratelimit/testing";
import assert from "node:assert/strict";

const limiter = rateLimiter({ limits: tokenBucket({ capacity: 2, refill: 1, per: "1m" }) });
assert.equal(limiter.tryTake("a").remaining, 1);
assert.equal((await limiter.take("a")).allowed, true);
assert.equal(limiter.tryTake("a").allowed, false);
assert.equal(await leakyQueue({ capacity: 1, drain: 10, per: "1s" }).run(() => 42), 42);

const handler = withMiddleware(() => new Response(), rateLimit({ limiter, key: byHeader("x-key") }));
const response = await handler(new Request("http://localhost/", { headers: { "x-key": "a" } }));
assert.equal(response.status, 429);
assert.equal(typeof redisRateLimitStore, "function");

const clauses = [];
const clock = manualClock();
rateLimitStoreConformance(
  { describe: (_, body) => body(), it: (_, body) => clauses.push(body) },
  {
    make: () => leasedStore({ store: memoryRateLimitStore({ clock }), lease: "100ms", clock }),
    advance: (ms) => clock.advance(ms),
    lends: true,
  },
);
for (const clause of clauses) await clause();
assert.ok(clauses.length > 30);
