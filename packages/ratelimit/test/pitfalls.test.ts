// What users of other limiters have run into, one by one: those that no other test is named after.
import type { ManualClock } from "@holdfast/core/testing";
import { manualClock } from "@holdfast/core/testing";
import {
  concurrency,
  fixedWindow,
  gcra,
  memoryRateLimitStore,
  rateLimiter,
  slidingLog,
  slidingWindow,
  tokenBucket,
} from "@holdfast/ratelimit";
import { beforeEach, describe, expect, it } from "vitest";

let clock: ManualClock;
beforeEach(() => {
  clock = manualClock();
});

describe("a limiter", () => {
  it("[pitfall 5] keeps what is left when a call that asks for more is refused, and makes nobody wait longer", async () => {
    for (const limits of [
      tokenBucket({ capacity: 10, refill: 1, per: "1m" }),
      fixedWindow({ limit: 10, window: "1h" }),
      slidingWindow({ limit: 10, window: "1h" }),
      slidingLog({ limit: 10, window: "1h" }),
    ]) {
      const limiter = rateLimiter({ clock, limits });
      limiter.tryTake("k", { cost: 8 });
      const { retryAfterMs } = limiter.tryTake("k", { cost: 5 });
      for (let call = 0; call < 100; call += 1) limiter.tryTake("k", { cost: 5 });
      expect(limiter.tryTake("k", { cost: 5 }).retryAfterMs, limits.name).toBe(retryAfterMs);
      expect(limiter.tryTake("k", { cost: 2 }).allowed, limits.name).toBe(true);
    }
  });

  it("[pitfall 6] is full, and no more than full, after a refund of more than was taken", async () => {
    const limiter = rateLimiter({ clock, limits: fixedWindow({ limit: 5, window: "1m" }) });
    const taken = limiter.tryTake("k", { cost: 2 });
    await limiter.refund("k", taken, { cost: 5 });
    await limiter.refund("k", taken, { cost: 5 });
    expect(limiter.tryTake("k", { cost: 5 }).allowed).toBe(true);
    expect(limiter.tryTake("k").allowed).toBe(false);
  });

  it("[pitfall 12] counts more than a thousand in a second, and refuses a limit of nothing when it is made", async () => {
    const limiter = rateLimiter({ clock, limits: gcra({ rate: 250_000, per: "1s", burst: 250 }) });
    let taken = 0;
    for (let ms = 0; ms < 100; ms += 1) {
      while (limiter.tryTake("k").allowed) taken += 1;
      await clock.advance(1);
    }
    expect(taken).toBe(250 * 100);
    expect(() => gcra({ rate: 0, per: "1s" })).toThrow(/rate/);
    expect(() => fixedWindow({ limit: 0, window: "1s" })).toThrow(/limit/);
  });

  it("[pitfall 14] reckons in integers that a double holds, however large its numbers and late its time", async () => {
    clock = manualClock(Date.UTC(2200, 0, 1));
    const limiter = rateLimiter({
      clock,
      limits: tokenBucket({ capacity: 1_000_000_000, refill: 1_000_000_000, per: "366d" }),
    });
    limiter.tryTake("k", { cost: 1_000_000_000 });
    await clock.advance("1d");
    // A 366th, rounded down.
    expect((await limiter.peek("k")).remaining).toBe(Math.floor(1_000_000_000 / 366));
    await clock.advance("365d");
    expect((await limiter.peek("k")).remaining).toBe(1_000_000_000);
  });

  it("[pitfall 15] is not put off by clocks that differ or jump: time in a process only grows", async () => {
    const store = memoryRateLimitStore({ clock });
    const limiter = rateLimiter({ store, clock, limits: tokenBucket({ capacity: 1, refill: 1, per: "1m" }) });
    limiter.tryTake("k");
    clock.jumpWallClock(3_600_000);
    expect(limiter.tryTake("k").allowed).toBe(false);
    clock.jumpWallClock(-7_200_000);
    await clock.advance("1m");
    expect(limiter.tryTake("k").allowed).toBe(true);
  });

  it("[pitfall 16] gives the place of a job that has expired to another, and takes other numbers at once", async () => {
    const limiter = rateLimiter({ clock, limits: concurrency({ limit: 1, lease: "10s" }) });
    const dead = limiter.tryTake("k");
    await clock.advance("10s");
    expect(limiter.tryTake("k").allowed).toBe(true);
    await limiter.refund("k", dead);
    expect(limiter.tryTake("k").allowed).toBe(false);
    const wider = [concurrency({ limit: 3, lease: "10s" })];
    expect(limiter.tryTake("k", { limits: wider }).remaining).toBe(1);
  });

  it("[pitfall 19] takes nothing for a reservation that is refused", async () => {
    const limiter = rateLimiter({
      clock,
      limits: [
        tokenBucket({ name: "requests", capacity: 5, refill: 1, per: "1h" }),
        tokenBucket({ name: "tokens", capacity: 100, refill: 1, per: "1h" }),
      ],
    });
    for (let call = 0; call < 3; call += 1) await limiter.reserve("k", { cost: { tokens: 60 } });
    expect((await limiter.peek("k")).standings.map(({ remaining }) => remaining)).toEqual([4, 40]);
  });

  it("[pitfall 21] does not count what it refuses, so that a raised limit helps at once", async () => {
    const limiter = rateLimiter({ clock, limits: fixedWindow({ name: "plan", limit: 5, window: "1h" }) });
    for (let call = 0; call < 500; call += 1) limiter.tryTake("k");
    const raised = [fixedWindow({ name: "plan", limit: 10, window: "1h" })];
    expect(limiter.tryTake("k", { limits: raised }).remaining).toBe(4);
  });
});
