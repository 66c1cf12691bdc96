import { prometheus } from "@holdfast/core";
import { manualClock } from "@holdfast/core/testing";
import { rateLimiter, rateLimitMetrics, tokenBucket } from "@holdfast/ratelimit";
import { describe, expect, it } from "vitest";

describe("rateLimitMetrics", () => {
  it("counts decisions, and how long callers wait", async () => {
    using numbers = prometheus({ tables: [rateLimitMetrics] });
    const clock = manualClock();
    const limiter = rateLimiter({
      name: "api",
      clock,
      limits: tokenBucket({ capacity: 1, refill: 1, per: "1s" }),
    });
    limiter.tryTake("k");
    limiter.tryTake("k");
    const wait = limiter.acquire("k");
    await clock.advance("1s");
    await wait;
    const text = numbers.text();
    expect(text).toContain(
      'holdfast_ratelimit_decisions_total{limiter="api",limit="token-bucket",allowed="true",enforced="true"} 2',
    );
    expect(text).toMatch(/holdfast_ratelimit_decisions_total\{[^}]*allowed="false",enforced="true"\} [23]/);
    expect(text).toContain('holdfast_ratelimit_wait_seconds_sum{limiter="api",outcome="allowed"} 1');
  });
});
