import type { ManualClock } from "@holdfast/core/testing";
import { manualClock } from "@holdfast/core/testing";
import { channel } from "@holdfast/core";
import type { RateLimitDecisionEvent } from "@holdfast/ratelimit";
import {
  concurrency,
  fixedWindow,
  gcra,
  leakyBucket,
  memoryRateLimitStore,
  rateLimiter,
  slidingLog,
  slidingWindow,
  tokenBucket,
} from "@holdfast/ratelimit";
import { beforeEach, describe, expect, it } from "vitest";
import { row } from "../../../tools/systems/row.mjs";

let clock: ManualClock;
beforeEach(() => {
  clock = manualClock();
});

const bucket = (capacity = 10) => tokenBucket({ capacity, refill: 2, per: "1s" });

describe("rateLimiter", () => {
  it(
    row(68, "a bucket of 10 that gets 2 a second takes bursts of 10, and 2 a second in the long run"),
    async () => {
      const limiter = rateLimiter({ clock, limits: bucket() });
      const burst = Array.from({ length: 11 }, () => limiter.tryTake("user:42"));
      expect(burst.map(({ allowed }) => allowed)).toEqual([...Array.from({ length: 10 }, () => true), false]);
      expect(burst.at(-1)).toMatchObject({ retryAfterMs: 500, remaining: 0 });
      let taken = 0;
      // An hour of asking ten times a second.
      for (let ask = 0; ask < 36_000; ask += 1) {
        await clock.advance(100);
        if (limiter.tryTake("user:42").allowed) taken += 1;
      }
      expect(taken).toBe(7_200);
      await clock.advance("1h");
      expect((await limiter.peek("user:42")).remaining).toBe(10);
    },
  );

  it("decides at once and asynchronously alike", async () => {
    const limiter = rateLimiter({ clock, limits: bucket(3) });
    expect((await limiter.take("a")).remaining).toBe(2);
    expect(limiter.tryTake("a", { cost: 2 }).remaining).toBe(0);
    expect(await limiter.take("a")).toMatchObject({
      allowed: false,
      retryAfterMs: 500,
      growsInMs: 500,
      resetMs: 1_500,
    });
  });

  it("[pitfall 4] takes from several limits together, and a refusal spends nothing anywhere", async () => {
    const limiter = rateLimiter({
      clock,
      limits: [
        tokenBucket({ name: "second", capacity: 5, refill: 5, per: "1s", by: "user" }),
        fixedWindow({ name: "day", limit: 7, window: "1d", by: "user" }),
        tokenBucket({ name: "tenant", capacity: 100, refill: 1, per: "1s", by: "tenant" }),
      ],
    });
    const subject = { user: "42", tenant: "acme" };
    for (let take = 0; take < 5; take += 1) expect(limiter.tryTake(subject).allowed).toBe(true);
    for (let take = 0; take < 9; take += 1) expect(limiter.tryTake(subject).limit.name).toBe("second");
    await clock.advance("1s");
    expect(limiter.tryTake(subject, { cost: 2 }).allowed).toBe(true);
    expect(limiter.tryTake(subject).limit.name).toBe("day");
    const { standings } = await limiter.peek(subject);
    expect(standings.map(({ limit, remaining }) => [limit.name, remaining])).toEqual([
      ["second", 3],
      ["day", 0],
      ["tenant", 94],
    ]);
  });

  it("goes by the numbers of a customer's plan where a call brings them", async () => {
    const limiter = rateLimiter({
      clock,
      limits: tokenBucket({ name: "plan", capacity: 2, refill: 1, per: "1s" }),
    });
    const gold = [tokenBucket({ name: "plan", capacity: 100, refill: 10, per: "1s" })];
    expect(limiter.tryTake("big", { limits: gold, cost: 90 }).remaining).toBe(10);
    expect(limiter.tryTake("small", { cost: 2 }).remaining).toBe(0);
    expect(() => limiter.tryTake("small", { cost: 90 })).toThrow(/cost/);
    expect(() => limiter.tryTake("x", { limits: [bucket()] })).toThrow(/names of this limiter/);
    expect(() =>
      limiter.tryTake("x", { limits: [slidingLog({ name: "plan", limit: 1, window: 1 })] }),
    ).toThrow(/replaces/);
  });

  it("reserves the worst case and settles what it was: gives back, or takes beyond", async () => {
    const limiter = rateLimiter({
      clock,
      limits: [
        tokenBucket({ name: "tokens", capacity: 1_000, refill: 100, per: "1s" }),
        tokenBucket({ name: "requests", capacity: 10, refill: 1, per: "1s" }),
      ],
    });
    const left = async () => (await limiter.peek("k")).standings.map(({ remaining }) => remaining);
    const first = await limiter.reserve("k", { cost: { tokens: 800 } });
    expect(first.allowed && (await left())).toEqual([200, 9]);
    if (first.allowed) {
      await first.settle({ tokens: 300 });
      await first.settle({ tokens: 0 });
      await first.release();
    }
    expect(await left()).toEqual([700, 9]);
    const second = await limiter.reserve("k", { cost: { tokens: 600 } });
    // 100 are left, and 250 more were used: later calls wait until they are paid back.
    if (second.allowed) await second.settle({ tokens: 850 });
    expect(await left()).toEqual([0, 8]);
    expect(limiter.tryTake("k", { cost: { tokens: 100 } })).toMatchObject({
      allowed: false,
      retryAfterMs: 2_500,
    });
    const third = await limiter.reserve("k", { cost: { tokens: 0 } });
    if (third.allowed) await third.release();
    expect((await left())[1]).toBe(8);
    const refused = await limiter.reserve("k", { cost: { tokens: 900 } });
    expect(refused.allowed).toBe(false);
  });

  it("[pitfall 11] refunds to the window that was taken from, and to no other", async () => {
    const limiter = rateLimiter({ clock, limits: fixedWindow({ limit: 3, window: "1m" }) });
    const old = limiter.tryTake("k", { cost: 3 });
    await clock.advance(old.resetMs);
    limiter.tryTake("k", { cost: 3 });
    await limiter.refund("k", old, { cost: 3 });
    expect(limiter.tryTake("k").allowed).toBe(false);
    await limiter.refund("k", limiter.tryTake("k"));
    expect(limiter.tryTake("k").allowed).toBe(false);
  });

  it("[pitfall 17] blocks and resets, and whoever peeks sees it", async () => {
    const limiter = rateLimiter({ clock, limits: bucket() });
    await limiter.block("k", "10m");
    expect(await limiter.peek("k")).toMatchObject({ allowed: false, retryAfterMs: 600_000 });
    expect(limiter.tryTake("k").allowed).toBe(false);
    await clock.advance("10m");
    expect(limiter.tryTake("k", { cost: 10 }).allowed).toBe(true);
    await limiter.reset("k");
    expect(limiter.tryTake("k", { cost: 10 }).allowed).toBe(true);
  });

  it("runs under a concurrency limit, renews its lease while the task runs, and gives the place back", async () => {
    const limiter = rateLimiter({ clock, limits: concurrency({ limit: 1, lease: "30s" }) });
    const policy = limiter.for("tenant");
    let finish: ((value: string) => void) | undefined;
    const long = policy.run(() => new Promise<string>((resolve) => (finish = resolve)));
    await clock.advance("5m");
    await expect(policy.run(() => "second")).rejects.toMatchObject({
      code: "RATE_LIMITED",
      status: 429,
      limit: "concurrency",
    });
    finish?.("first");
    expect(await long).toBe("first");
    expect(await policy.run(() => "third")).toBe("third");
    await expect(policy.run(() => Promise.reject(new Error("failed")))).rejects.toThrow("failed");
    expect(await policy.run(() => "fourth")).toBe("fourth");
    expect(clock.pendingTimers).toBe(0);
  });

  it("gives a place back whose holder has died when its lease is over", async () => {
    const limiter = rateLimiter({ clock, limits: concurrency({ limit: 1, lease: "30s" }) });
    limiter.tryTake("k");
    expect(limiter.tryTake("k")).toMatchObject({ allowed: false, retryAfterMs: 30_000 });
    await clock.advance("30s");
    expect(limiter.tryTake("k").allowed).toBe(true);
  });

  it("tells what it would refuse, and allows it, where it does not enforce", async () => {
    const events: RateLimitDecisionEvent[] = [];
    const stop = channel<RateLimitDecisionEvent>("ratelimit", "decision").subscribe((event) =>
      events.push(event),
    );
    let enforce = false;
    const limiter = rateLimiter({ clock, limits: bucket(1), enforce: () => enforce });
    expect(limiter.tryTake("k")).not.toHaveProperty("shadow");
    expect(limiter.tryTake("k")).toMatchObject({ allowed: true, shadow: true, retryAfterMs: 0 });
    enforce = true;
    expect(limiter.tryTake("k").allowed).toBe(false);
    stop();
    expect(events.map(({ allowed, enforced }) => [allowed, enforced])).toEqual([
      [true, true],
      [false, false],
      [false, true],
    ]);
    expect(events[1]).toMatchObject({
      limiter: "rate-limiter",
      limit: "token-bucket",
      remaining: 0,
      retryAfterMs: 500,
    });
  });

  it("[pitfall 2] counts for months without a timer", async () => {
    const limiter = rateLimiter({ clock, limits: tokenBucket({ capacity: 30, refill: 30, per: "30d" }) });
    limiter.tryTake("k", { cost: 30 });
    expect(clock.pendingTimers).toBe(0);
    await clock.advance("29d");
    expect((await limiter.peek("k")).remaining).toBe(29);
    await clock.advance("1d");
    expect((await limiter.peek("k")).remaining).toBe(30);
  });

  it("[must-survive 19] refuses costs that are none, with a message that names the option", () => {
    const limiter = rateLimiter({
      clock,
      limits: [bucket(), fixedWindow({ name: "day", limit: 5, window: "1d" })],
    });
    for (const cost of [
      -1,
      0.5,
      Number.NaN,
      Infinity,
      11,
      "1" as never,
      { day: 6 },
      { nothing: 1 },
      { day: -1 },
    ])
      expect(() => limiter.tryTake("k", { cost }), JSON.stringify(cost)).toThrow(/option "cost/);
    expect(limiter.tryTake("k", { cost: 0 }).allowed).toBe(true);
    expect(limiter.tryTake("k", { cost: { day: 5, "token-bucket": 10 } }).allowed).toBe(true);
  });

  it("[must-survive 22] refuses keys that are none, and takes any other text", async () => {
    const limiter = rateLimiter({ clock, limits: bucket() });
    for (const key of ["", "x".repeat(513), 5 as never, undefined as never, null as never])
      expect(() => limiter.tryTake(key), String(key).slice(0, 9)).toThrow(/subject/);
    for (const key of ["{}", "\0", "__proto__", "x".repeat(512)])
      expect(limiter.tryTake(key).allowed).toBe(true);
    const joint = rateLimiter({
      limits: [bucket(), tokenBucket({ name: "t", by: "tenant", capacity: 1, refill: 1, per: 1 })],
    });
    expect(() => joint.tryTake("k" as never)).toThrow(/\{ key: "…", tenant: "…" \}/);
    expect(() => joint.tryTake({ key: "k" } as never)).toThrow(/subject\.tenant/);
    await expect(joint.take(Object.create({ key: "k", tenant: "t" }) as never)).rejects.toThrow(/subject/);
  });

  it("refuses limits and options that are none, at construction", () => {
    const bad: Readonly<Record<string, () => unknown>> = {
      limits: () => rateLimiter({ limits: [] }),
      name: () => rateLimiter({ limits: bucket(), name: "a b" }),
      maxWaiting: () => rateLimiter({ limits: bucket(), maxWaiting: 0 }),
      maxWait: () => rateLimiter({ limits: bucket(), maxWait: 0 }),
      instances: () => rateLimiter({ limits: bucket(), instances: 0 }),
      enforce: () => rateLimiter({ limits: bucket(), enforce: "yes" as never }),
      store: () => rateLimiter({ limits: bucket(), store: {} as never }),
      capacity: () => tokenBucket({ capacity: 0, refill: 1, per: "1s" }),
      refill: () => tokenBucket({ capacity: 1, refill: 0.5, per: "1s" }),
      per: () => tokenBucket({ capacity: 1, refill: 1, per: 0.5 }),
      leak: () => leakyBucket({ capacity: 1, leak: -1, per: "1s" }),
      rate: () => gcra({ rate: 0, per: "1s" }),
      window: () => fixedWindow({ limit: 1, window: "367d" }),
      limit: () => slidingLog({ limit: 10_001, window: "1m" }),
      lease: () => concurrency({ limit: 1, lease: 0 }),
      by: () => slidingWindow({ limit: 1, window: "1m", by: "a b" }),
      maxKeys: () => memoryRateLimitStore({ maxKeys: 0 }),
    };
    for (const [option, make] of Object.entries(bad)) expect(make, option).toThrow(new RegExp(`"${option}"`));
    expect(() => rateLimiter({ limits: [bucket(), bucket()] })).toThrow(/a name each/);
    // A prime of a billion in a leap year: no unit of time makes that exact.
    expect(() => tokenBucket({ capacity: 999_999_937, refill: 999_999_937, per: "366d" })).toThrow(/uneven/);
  });

  it("takes nothing more after it was closed", async () => {
    const limiter = rateLimiter({ clock, limits: bucket() });
    await limiter[Symbol.asyncDispose]();
    expect(() => limiter.tryTake("k")).toThrow(expect.objectContaining({ code: "CLOSED" }));
    await expect(limiter.take("k")).rejects.toMatchObject({ code: "CLOSED" });
    await expect(limiter.acquire("k")).rejects.toMatchObject({ code: "CLOSED" });
  });

  it("rejects a take whose signal has aborted, with its reason", async () => {
    const limiter = rateLimiter({ clock, limits: bucket(1) });
    const reason = new Error("gone");
    await expect(limiter.take("k", { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    expect(limiter.tryTake("k").allowed).toBe(true);
  });

  it("shows its state as plain JSON", () => {
    const limiter = rateLimiter({ clock, name: "api", limits: bucket() });
    expect(JSON.parse(JSON.stringify(limiter.snapshot()))).toEqual({
      kind: "rate-limiter",
      name: "api",
      limits: [{ name: "token-bucket", by: "key", algorithm: "token-bucket", quota: 10, windowMs: 5_000 }],
      waiting: 0,
      store: "asked",
    });
    expect(limiter.for("k").describe().summary).toBe("rejects beyond token-bucket (10)");
  });
});

describe("memoryRateLimitStore", () => {
  it("[pitfall 23, must-survive 15, 18] is bounded, and a flood of keys pushes nobody out who is limited", async () => {
    const store = memoryRateLimitStore({ maxKeys: 100, clock });
    const limiter = rateLimiter({ store, clock, limits: tokenBucket({ capacity: 5, refill: 1, per: "1h" }) });
    for (let user = 0; user < 50; user += 1) limiter.tryTake(`user:${user}`, { cost: 5 });
    let allowed = 0;
    for (let key = 0; key < 100_000; key += 1) if (limiter.tryTake(`flood:${key}`).allowed) allowed += 1;
    for (let user = 0; user < 50; user += 1) expect(limiter.tryTake(`user:${user}`).allowed).toBe(false);
    // 50 keys of their own, and 64 shared counts of 5.
    expect(allowed).toBeLessThanOrEqual(50 + 64 * 5);
    await clock.advance("5h");
    // Nothing counts any more: room for all again.
    for (let user = 0; user < 90; user += 1)
      expect(limiter.tryTake(`new:${user}`, { cost: 5 }).allowed).toBe(true);
  });

  it("forgets keys of which nothing counts any more, without a timer", async () => {
    const store = memoryRateLimitStore({ maxKeys: 1_000, clock });
    const limiter = rateLimiter({ store, clock, limits: tokenBucket({ capacity: 1, refill: 1, per: "1s" }) });
    for (let round = 0; round < 50; round += 1) {
      for (let key = 0; key < 500; key += 1)
        expect(limiter.tryTake(`${round}:${key}`).allowed, `${round}:${key}`).toBe(true);
      await clock.advance("2s");
    }
    expect(clock.pendingTimers).toBe(0);
  });

  it("begins windows where wall time does, and does not jump with it", async () => {
    clock = manualClock(Date.UTC(2026, 0, 1, 0, 0, 50));
    const limiter = rateLimiter({ clock, limits: fixedWindow({ limit: 1, window: "1m" }) });
    limiter.tryTake("k");
    expect(limiter.tryTake("k").retryAfterMs).toBe(10_000);
    clock.jumpWallClock(5 * 3_600_000);
    expect(limiter.tryTake("k").retryAfterMs).toBe(10_000);
    await clock.advance("10s");
    expect(limiter.tryTake("k").allowed).toBe(true);
  });
});
