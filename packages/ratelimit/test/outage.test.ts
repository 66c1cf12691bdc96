import { channel, StoreUnavailableError } from "@holdfast/core";
import type { ManualClock } from "@holdfast/core/testing";
import { manualClock } from "@holdfast/core/testing";
import type {
  Decision,
  Ledger,
  RateLimiterOptions,
  RateLimitStore,
  RateLimitStoreEvent,
} from "@holdfast/ratelimit";
import {
  concurrency,
  fixedWindow,
  memoryRateLimitStore,
  rateLimiter,
  tokenBucket,
} from "@holdfast/ratelimit";
import { beforeEach, describe, expect, it } from "vitest";

let clock: ManualClock;
let isDown: boolean;
let asked: number;
beforeEach(() => {
  clock = manualClock();
  isDown = false;
  asked = 0;
});

/** A shared store that can be down. */
function flakyStore(): RateLimitStore {
  const store = memoryRateLimitStore({ clock });
  const call = <T>(work: () => Promise<T>): Promise<T> => {
    asked += 1;
    return isDown
      ? Promise.reject(new StoreUnavailableError("redis", "down", { reason: "timeout" }))
      : work();
  };
  return {
    traits: { shared: true, clock: "server" },
    close: () => store.close(),
    open: (name, limits): Ledger => {
      const ledger = store.open(name, limits);
      return {
        take: (one, mode) => call(() => ledger.take(one, mode)),
        borrow: (one) => call(() => ledger.borrow(one)),
        refund: (one, marks) => call(() => ledger.refund(one, marks)),
        renew: (one, marks) => call(() => ledger.renew(one, marks)),
        block: (one, forMs) => call(() => ledger.block(one, forMs)),
        reset: (one) => call(() => ledger.reset(one)),
      };
    },
  };
}

const limiterWith = (options: Partial<RateLimiterOptions<"key">>) =>
  rateLimiter({
    clock,
    store: flakyStore(),
    limits: tokenBucket({ capacity: 10, refill: 10, per: "1s" }),
    ...options,
  });

const allowedOf = (decisions: readonly Decision[]): number =>
  decisions.filter(({ allowed }) => allowed).length;

describe("a limiter whose store is down", () => {
  it("has to be told what to do, when the store is shared", () => {
    expect(() => limiterWith({})).toThrow(/"onStoreError" must be one of "open", "closed", "local"/);
  });

  it("closed: rejects with the store's error, asks each time, and goes on when it is back", async () => {
    const limiter = limiterWith({ onStoreError: "closed" });
    isDown = true;
    for (let call = 0; call < 3; call += 1)
      await expect(limiter.take("k")).rejects.toMatchObject({ code: "STORE_UNAVAILABLE", status: 503 });
    expect(asked).toBe(3);
    isDown = false;
    expect((await limiter.take("k")).remaining).toBe(9);
    expect(limiter.snapshot().store).toBe("asked");
  });

  it("open: allows all, says so, and does not ask again for a while", async () => {
    const limiter = limiterWith({ onStoreError: "open", storeRetry: "5s" });
    isDown = true;
    const decisions = await Promise.all(Array.from({ length: 50 }, () => limiter.take("k")));
    expect(allowedOf(decisions)).toBe(50);
    expect(decisions[0]).toMatchObject({ degraded: "open", marks: [] });
    const before = asked;
    await limiter.take("k");
    expect([asked, limiter.snapshot().store]).toEqual([before, "open"]);
    isDown = false;
    await clock.advance("5s");
    expect(await limiter.take("k")).not.toHaveProperty("degraded");
    expect(limiter.snapshot().store).toBe("asked");
  });

  it("[pitfall 1] local: counts its share in this process, and only while the store is down", async () => {
    const limiter = limiterWith({ onStoreError: "local", instances: 5 });
    const full = await Promise.all(Array.from({ length: 12 }, () => limiter.take("k")));
    expect([allowedOf(full), full[11]!.degraded]).toEqual([10, undefined]);
    isDown = true;
    const local = [];
    for (let call = 0; call < 10; call += 1) local.push(await limiter.take("k"));
    // A fifth of 10.
    expect([allowedOf(local), local[9]!.degraded, local[9]!.allowed]).toEqual([2, "local", false]);
    await clock.advance("1s");
    isDown = false;
    expect((await limiter.take("k")).degraded).toBeUndefined();
  });

  it("local: a limit with less than one for each instance lets each have one in a longer time", async () => {
    const limits = [fixedWindow({ name: "few", limit: 2, window: "1m" })];
    const limiter = rateLimiter({
      clock,
      store: flakyStore(),
      limits,
      onStoreError: "local",
      instances: 10,
      storeRetry: "1d",
    });
    isDown = true;
    let allowed = 0;
    for (let minute = 0; minute < 50; minute += 1) {
      if ((await limiter.take("k")).allowed) allowed += 1;
      await clock.advance("1m");
    }
    // 2 a minute for 10 is one in five minutes for each; 50 minutes touch 10 or 11 times five.
    expect([10, 11]).toContain(allowed);
  });

  it("[pitfall 11] gives back where it was taken from", async () => {
    const limiter = limiterWith({ onStoreError: "local", instances: 5 });
    isDown = true;
    const local = await limiter.take("k", { cost: 2 });
    const open = limiterWith({ onStoreError: "open" });
    const free = await open.take("k");
    isDown = false;
    await clock.advance("2s");
    await limiter.take("k", { cost: 10 });
    await limiter.refund("k", local, { cost: 2 });
    expect((await limiter.peek("k")).remaining).toBe(0);
    await open.take("k", { cost: 10 });
    await open.refund("k", free);
    expect((await open.peek("k")).remaining).toBe(0);
  });

  it("keeps running under a concurrency limit whose place cannot be given back, which runs out", async () => {
    const limiter = limiterWith({ onStoreError: "closed", limits: concurrency({ limit: 1, lease: "10s" }) });
    const work = limiter.for("k").run(async () => {
      isDown = true;
      return "done";
    });
    expect(await work).toBe("done");
    isDown = false;
    expect((await limiter.take("k")).allowed).toBe(false);
    await clock.advance("10s");
    expect((await limiter.take("k")).allowed).toBe(true);
  });

  it("rejects those who wait, or lets them through, as it is told", async () => {
    const closed = limiterWith({ onStoreError: "closed" });
    await closed.take("k", { cost: 10 });
    const wait = closed.acquire("k");
    await clock.advance(0);
    isDown = true;
    const rejected = expect(wait).rejects.toMatchObject({ code: "STORE_UNAVAILABLE" });
    await clock.advance("1s");
    await rejected;
    const open = limiterWith({ onStoreError: "open" });
    expect((await open.acquire("k")).degraded).toBe("open");
    expect(clock.pendingTimers).toBe(0);
  });

  it("passes on what is no outage, whatever it is told", async () => {
    const store = flakyStore();
    const limiter = rateLimiter({
      clock,
      limits: tokenBucket({ capacity: 1, refill: 1, per: 1 }),
      onStoreError: "open",
      store: {
        ...store,
        traits: store.traits,
        open: (name, limits) => ({
          ...store.open(name, limits),
          take: () => Promise.reject(new TypeError("a bug")),
        }),
      },
    });
    await expect(limiter.take("k")).rejects.toThrow("a bug");
  });

  it("tells of every outage", async () => {
    const events: RateLimitStoreEvent[] = [];
    const stop = channel<RateLimitStoreEvent>("ratelimit", "store").subscribe((event) => events.push(event));
    isDown = true;
    await limiterWith({ onStoreError: "open" }).take("k");
    stop();
    expect(events).toMatchObject([
      { limiter: "rate-limiter", answer: "open", error: { code: "STORE_UNAVAILABLE" } },
    ]);
  });
});
