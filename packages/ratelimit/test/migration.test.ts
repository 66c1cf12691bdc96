// Each row of the table in docs/migrate-ratelimit.md, shown.
import { readFileSync } from "node:fs";
import { StoreUnavailableError, withRemoteAddress } from "@holdfast/core";
import { manualClock } from "@holdfast/core/testing";
import {
  concurrency,
  fixedWindow,
  memoryRateLimitStore,
  rateLimiter,
  tokenBucket,
} from "@holdfast/ratelimit";
import { byIp } from "@holdfast/ratelimit/http";
import { describe, expect, it } from "vitest";

const document = readFileSync(new URL("../../../docs/migrate-ratelimit.md", import.meta.url), "utf8");
const table = document.split("## What behaves otherwise")[1] ?? "";
const cases = [...table.matchAll(/^\| (.+?) +\|/gm)].map(([, name]) => name!).slice(2);

const bucket = (capacity: number) => tokenBucket({ capacity, refill: 1, per: "1h" });

const shown: Readonly<Record<string, () => Promise<void>>> = {
  "A refusal": async () => {
    const limiter = rateLimiter({ limits: bucket(1) });
    await limiter.take("k");
    expect(await limiter.take("k")).toMatchObject({ allowed: false });
    await expect(limiter.for("k").run(() => 1)).rejects.toBeInstanceOf(Error);
  },
  "A refused call of a large cost": async () => {
    const limiter = rateLimiter({ limits: bucket(5) });
    await limiter.take("k", { cost: 3 });
    await limiter.take("k", { cost: 5 });
    expect((await limiter.peek("k")).remaining).toBe(2);
  },
  "A union of which one limit refuses": async () => {
    const limiter = rateLimiter({ limits: [bucket(5), fixedWindow({ limit: 1, window: "1d" })] });
    for (let call = 0; call < 5; call += 1) await limiter.take("k");
    expect((await limiter.peek("k")).standings.map(({ remaining }) => remaining)).toEqual([4, 0]);
  },
  "A duration of half a second on Redis": async () => {
    expect(fixedWindow({ limit: 1, window: 500 }).windowMs).toBe(500);
    expect(() => fixedWindow({ limit: 1, window: 0.5 })).toThrow(/window/);
    expect(() => fixedWindow({ limit: 1, window: 1.5 })).toThrow(/whole number of milliseconds/);
  },
  "A window": async () => {
    const clock = manualClock(Date.UTC(2026, 0, 1, 0, 0, 59));
    const limiter = rateLimiter({ clock, limits: fixedWindow({ limit: 1, window: "1m" }) });
    limiter.tryTake("k");
    expect(limiter.tryTake("k").retryAfterMs).toBe(1_000);
  },
  "A duration of more than 24.8 days": async () => {
    const clock = manualClock();
    const limiter = rateLimiter({ clock, limits: tokenBucket({ capacity: 1, refill: 1, per: "30d" }) });
    limiter.tryTake("k");
    expect([limiter.tryTake("k").retryAfterMs, clock.pendingTimers]).toEqual([30 * 86_400_000, 0]);
  },
  "A refund after its window": async () => {
    const clock = manualClock();
    const limiter = rateLimiter({ clock, limits: fixedWindow({ limit: 1, window: "1m" }) });
    const old = limiter.tryTake("k");
    await clock.advance("1m");
    limiter.tryTake("k");
    await limiter.refund("k", old);
    expect(limiter.tryTake("k").allowed).toBe(false);
  },
  "The store is away": async () => {
    const store = memoryRateLimitStore();
    const limiter = rateLimiter({
      limits: bucket(1),
      onStoreError: "closed",
      store: {
        traits: { shared: true, clock: "server" },
        close: () => store.close(),
        open: () =>
          new Proxy({} as ReturnType<typeof store.open>, {
            get: (_, name) =>
              name === "takeNow"
                ? undefined
                : () => Promise.reject(new StoreUnavailableError("redis", "away")),
          }),
      },
    });
    await expect(limiter.take("k")).rejects.toMatchObject({ status: 503, code: "STORE_UNAVAILABLE" });
  },
  IPv6: async () => {
    const key = (address: string) => byIp()(withRemoteAddress(new Request("http://localhost/"), address));
    expect(await key("2001:db8::1")).toBe(await key("2001:db8::ffff:ffff:ffff:ffff"));
    expect(await key("2001:db8::1")).not.toBe(await key("2001:db8:0:1::1"));
  },
  "A caller in the queue that gives up": async () => {
    const clock = manualClock();
    const limiter = rateLimiter({ clock, limits: tokenBucket({ capacity: 1, refill: 1, per: "1s" }) });
    limiter.tryTake("k");
    const stop = new AbortController();
    const wait = limiter.acquire("k", { signal: stop.signal });
    const left = expect(wait).rejects.toThrow("left");
    stop.abort(new Error("left"));
    await left;
    expect(limiter.snapshot().waiting).toBe(0);
  },
  "A job that never ends": async () => {
    const clock = manualClock();
    const limiter = rateLimiter({ clock, limits: concurrency({ limit: 1, lease: "30s" }) });
    limiter.tryTake("k");
    await clock.advance("30s");
    expect(limiter.tryTake("k").allowed).toBe(true);
  },
};

describe("docs/migrate-ratelimit.md", () => {
  it("has a test for each of its rows, and no other", () => {
    expect(cases).toEqual(Object.keys(shown));
  });

  it.each(Object.entries(shown))("%s", (_, show) => show());
});
