// A Redis that fails, forgets, freezes and is replaced.
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import type { Clock } from "@holdfast/core";
import { systemClock } from "@holdfast/core";
import { REDIS_CLIENT_OPTIONS } from "@holdfast/core/redis";
import {
  concurrency,
  fixedWindow,
  rateLimiter,
  slidingLog,
  slidingWindow,
  tokenBucket,
} from "@holdfast/ratelimit";
import { redisRateLimitStore } from "@holdfast/ratelimit/redis";
import { Redis } from "ioredis";
import { afterEach, describe, expect, inject, it } from "vitest";
import { startProxy, startRedis } from "../../../tools/services/index.mjs";

const clients: Redis[] = [];
afterEach(() => {
  for (const client of clients.splice(0)) client.disconnect();
});

async function connected(url: string): Promise<Redis> {
  const client = new Redis(url, { ...REDIS_CLIENT_OPTIONS, retryStrategy: () => 20 });
  client.on("error", () => {});
  clients.push(client);
  await new Promise<void>((resolve) => void client.once("ready", () => resolve()));
  return client;
}

const next = (client: Redis, event: string): Promise<void> =>
  new Promise((resolve) => void client.once(event, () => resolve()));

const lasting = (capacity: number) => tokenBucket({ capacity, refill: 1, per: "1h" });

describe.skipIf(!inject("startsRedis"))("redisRateLimitStore", () => {
  it("[pitfall 7, must-survive 21] goes on after SCRIPT FLUSH and a restart, also for many calls at once", async () => {
    await using server = await startRedis({ appendOnly: true });
    const client = await connected(server.url);
    const limiter = rateLimiter({
      limits: lasting(100),
      store: redisRateLimitStore({ client }),
      onStoreError: "closed",
    });
    await limiter.take("k");
    await client.script("FLUSH");
    const many = await Promise.all(Array.from({ length: 40 }, () => limiter.take("k")));
    expect(many.every(({ allowed }) => allowed)).toBe(true);
    const ready = next(client, "ready");
    await server.restart();
    await ready;
    expect((await limiter.take("k")).remaining).toBe(58);
  });

  it("[pitfall 18] ends at its own deadline when Redis is frozen, queues nothing, and goes on when it goes on", async () => {
    await using server = await startRedis();
    const client = await connected(server.url);
    const store = redisRateLimitStore({ client, deadline: 200 });
    const limiter = rateLimiter({ limits: lasting(10), store, onStoreError: "closed" });
    await limiter.take("k");
    server.pause();
    await expect(limiter.take("k")).rejects.toMatchObject({ code: "STORE_UNAVAILABLE", reason: "timeout" });
    server.resume();
    await expect.poll(async () => (await limiter.peek("k").catch(() => undefined))?.allowed).toBe(true);
    const down = next(client, "close");
    await server.kill();
    await down;
    for (let call = 0; call < 5; call += 1)
      await expect(limiter.take("k")).rejects.toMatchObject({
        code: "STORE_UNAVAILABLE",
        reason: "connection",
      });
    const ready = next(client, "ready");
    await server.start();
    await ready;
    // Nothing was kept, and nothing of what was asked meanwhile comes late.
    await sleep(100);
    expect((await limiter.peek("k")).remaining).toBe(10);
  });

  it("counts in this process while Redis is away, and together with the others once it is back", async () => {
    await using server = await startRedis();
    const client = await connected(server.url);
    const limiter = rateLimiter({
      limits: lasting(10),
      store: redisRateLimitStore({ client, deadline: 200 }),
      onStoreError: "local",
      instances: 5,
      storeRetry: 50,
    });
    expect((await limiter.take("k")).degraded).toBeUndefined();
    server.pause();
    const local = [];
    for (let call = 0; call < 4; call += 1) local.push(await limiter.take("k"));
    expect(local.map(({ allowed, degraded }) => [allowed, degraded])).toEqual([
      [true, "local"],
      [true, "local"],
      [false, "local"],
      [false, "local"],
    ]);
    server.resume();
    await expect.poll(async () => (await limiter.peek("k")).degraded).toBeUndefined();
  });

  it("gives back what was taken for a caller who had left", async () => {
    await using server = await startRedis();
    await using proxy = await startProxy(server.url);
    const client = await connected(proxy.url);
    const direct = await connected(server.url);
    const limiter = rateLimiter({
      limits: lasting(10),
      store: redisRateLimitStore({ client }),
      onStoreError: "closed",
    });
    const other = rateLimiter({
      limits: lasting(10),
      store: redisRateLimitStore({ client: direct }),
      onStoreError: "closed",
    });
    await limiter.take("k");
    server.pause();
    const stop = new AbortController();
    const take = limiter.take("k", { cost: 5, signal: stop.signal });
    await sleep(50);
    stop.abort(new Error("left"));
    await expect(take).rejects.toThrow("left");
    server.resume();
    await expect.poll(async () => (await other.peek("k")).remaining).toBe(9);
    const before = new AbortController();
    const never = limiter.take("k", { signal: before.signal });
    before.abort(new Error("changed my mind"));
    await expect(never).rejects.toThrow("changed my mind");
    expect((await other.peek("k")).remaining).toBe(9);
  });

  it("is refused by a replica, and goes on with what the replica had once that is the master", async () => {
    await using master = await startRedis({ args: ["--repl-diskless-sync-delay", "0"] });
    await using replica = await startRedis();
    const { port } = new URL(master.url);
    const admin = await connected(replica.url);
    await admin.replicaof("127.0.0.1", Number(port));
    const old = rateLimiter({
      limits: lasting(10),
      store: redisRateLimitStore({ client: await connected(master.url) }),
      onStoreError: "closed",
    });
    await old.take("k", { cost: 4 });
    await expect.poll(async () => (await admin.keys("*")).length, { timeout: 20_000 }).toBe(1);
    const limiter = rateLimiter({
      limits: lasting(10),
      store: redisRateLimitStore({ client: await connected(replica.url) }),
      onStoreError: "closed",
    });
    await expect(limiter.take("k")).rejects.toMatchObject({ code: "STORE_UNAVAILABLE", reason: "read_only" });
    await master.kill();
    await admin.replicaof("NO", "ONE");
    // Its script cache knows nothing of ours.
    expect((await limiter.take("k")).remaining).toBe(5);
  });

  it("[pitfalls 3, 9, 10, 13] keeps every key exactly as long as something of it counts, rounded up", async () => {
    await using server = await startRedis();
    const client = await connected(server.url);
    const limits = [
      tokenBucket({ name: "bucket", capacity: 10, refill: 3, per: 1_000 }),
      fixedWindow({ name: "fixed", limit: 10, window: 1_500 }),
      slidingWindow({ name: "sliding", limit: 10, window: 700 }),
      slidingLog({ name: "log", limit: 10, window: 900 }),
      concurrency({ name: "places", limit: 10, lease: 800 }),
    ];
    const limiter = rateLimiter({ limits, store: redisRateLimitStore({ client }), onStoreError: "closed" });
    const { standings } = await limiter.take("k", { cost: 2 });
    for (const { limit, resetMs } of standings) {
      const [key] = await client.keys(`*:${limit.name}:*`);
      const ttl = await client.pttl(key!);
      expect(ttl, limit.name).toBeGreaterThan(resetMs - 200);
      expect(ttl, limit.name).toBeLessThanOrEqual(resetMs + 2);
    }
    // A refusal changes no time to live, and a refund of all takes the key away.
    const single = rateLimiter({
      name: "single",
      limits: lasting(3),
      store: redisRateLimitStore({ client }),
      onStoreError: "closed",
    });
    const all = await single.take("k", { cost: 3 });
    const [key] = await client.keys("*single*");
    await client.pexpire(key!, 12_345_678);
    for (let call = 0; call < 3; call += 1) expect((await single.take("k")).allowed).toBe(false);
    expect(await client.pttl(key!)).toBeLessThanOrEqual(12_345_678);
    await single.refund("k", all, { cost: 3 });
    expect(await client.exists(key!)).toBe(0);
    await expect.poll(() => client.dbsize(), { timeout: 5_000 }).toBe(0);
  });

  it("[must-survive 20] goes by the server's clock, wherever a client's is", async () => {
    await using server = await startRedis();
    const client = await connected(server.url);
    const skewed: Clock = {
      now: () => systemClock.now() + 3_600_000,
      monotonic: () => systemClock.monotonic(),
      sleep: (duration, signal) => systemClock.sleep(duration, signal),
      setTimer: (duration, callback) => systemClock.setTimer(duration, callback),
    };
    const limits = fixedWindow({ limit: 3, window: "366d" });
    const here = rateLimiter({ limits, store: redisRateLimitStore({ client }), onStoreError: "closed" });
    const there = rateLimiter({
      limits,
      store: redisRateLimitStore({ client, clock: skewed }),
      onStoreError: "closed",
      clock: skewed,
    });
    await here.take("k", { cost: 2 });
    expect((await there.take("k")).remaining).toBe(0);
    expect((await here.take("k")).allowed).toBe(false);
  });

  it("[must-survive 23] lets 100,000 callers at once through up to the limit, and not one more", async () => {
    await using server = await startRedis();
    const client = await connected(server.url);
    const store = redisRateLimitStore({ client, deadline: "30s" });
    const limiter = rateLimiter({ limits: lasting(12_345), store, onStoreError: "closed" });
    const decisions = await Promise.all(Array.from({ length: 100_000 }, () => limiter.take("k")));
    expect(decisions.filter(({ allowed }) => allowed)).toHaveLength(12_345);
  });

  it("[pitfall 22] runs on this server, with no flags that only some know", async () => {
    await using server = await startRedis();
    const client = await connected(server.url);
    const limiter = rateLimiter({
      limits: lasting(1),
      store: redisRateLimitStore({ client }),
      onStoreError: "closed",
    });
    expect((await limiter.take("k")).allowed).toBe(true);
    const lua = readFileSync(new URL("../src/redis/ratelimit.lua", import.meta.url), "utf8");
    expect(lua.startsWith("#!")).toBe(false);
  });

  it("takes one run of the script for what is asked in one tick", async () => {
    await using server = await startRedis();
    const client = await connected(server.url);
    const limiter = rateLimiter({
      limits: lasting(1_000),
      store: redisRateLimitStore({ client }),
      onStoreError: "closed",
    });
    await limiter.take("warm");
    await client.config("RESETSTAT");
    await Promise.all(Array.from({ length: 250 }, (_, index) => limiter.take(`k${index}`)));
    expect(await client.info("commandstats")).toMatch(/cmdstat_evalsha:calls=2,/);
  });
});
