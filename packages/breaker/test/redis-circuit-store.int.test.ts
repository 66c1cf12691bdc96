import { setTimeout as sleep } from "node:timers/promises";
import { Cluster, Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { redisCircuitStore } from "@holdfast/breaker/redis";
import { circuitStoreConformance } from "@holdfast/breaker/testing";
import { REDIS_CLIENT_OPTIONS } from "@holdfast/core/redis";
import { freshKeys, startRedis } from "../../../tools/services/index.mjs";

const redisUrl = inject("redisUrl");
const startsRedis = inject("startsRedis");

const openTime = { initialMs: 60_000, maxMs: 60_000, factor: 1, stretch: 1, atLeastMs: 0 };
const vote = { voter: "a", generation: 0, quorum: 1, windowMs: 60_000, openTime };

describe.skipIf(redisUrl === "")("redisCircuitStore", () => {
  const keys = freshKeys(redisUrl);
  let client: Redis;
  const open = (prefix: string = keys.prefix, keep = 400) =>
    redisCircuitStore({ client, prefix, poll: 20, keep });
  beforeAll(() => {
    client = new Redis(redisUrl, REDIS_CLIENT_OPTIONS);
  });
  afterAll(async () => {
    client.disconnect();
    await keys.drop();
  });

  circuitStoreConformance({ describe, it }, { make: () => open(), advance: sleep, keepMs: 400, spanMs: 200 });

  it("is the same circuit through every client of the same prefix, and another one through others", async () => {
    const [one, two, other] = [open(), open(), open(`${keys.prefix}other:`)];
    const opened = await one.vote({ ...vote, key: "same" });
    expect(await two.read("same")).toMatchObject({ state: "open", generation: opened.generation });
    expect(await other.read("same")).toMatchObject({ state: "closed", generation: 0 });
  });

  it("draws greater generations than before, also after its data and its scripts were lost", async () => {
    const store = open();
    const first = await store.vote({ ...vote, key: "lost" });
    await keys.drop();
    await client.script("FLUSH");
    expect(await store.read("lost")).toMatchObject({ state: "closed", generation: 0 });
    const second = await store.vote({ ...vote, key: "lost" });
    expect(second.generation).toBeGreaterThan(first.generation);
  });

  it("tells those who watch page by page when there is much to tell", async () => {
    const store = open(`${keys.prefix}many:`, 60_000);
    const names = Array.from({ length: 1_200 }, (_, index) => `circuit-${index}`);
    await Promise.all(names.map((key) => store.vote({ ...vote, key })));
    const told = new Set<string>();
    store.watch({ changed: (circuits) => circuits.forEach(({ key }) => told.add(key)), lost: () => {} });
    await expect.poll(() => told.size, { timeout: 10_000 }).toBe(names.length);
    await store.close();
  });

  it("leaves no key without a time to live, and none at all once all is forgotten", async () => {
    const store = open(`${keys.prefix}gone:`, 10);
    const short = { ...openTime, initialMs: 50, maxMs: 50 };
    const { generation } = await store.vote({ ...vote, key: "a", openTime: short });
    await store.vote({ ...vote, key: "b", quorum: 2, windowMs: 50 });
    await sleep(60);
    await store.leaseProbe({ key: "a", generation, token: "t", probes: 1, leaseMs: 50 });
    const found = await client.keys(`${keys.prefix}gone:*`);
    expect(found.length).toBeGreaterThan(2);
    for (const key of found) expect(await client.pttl(key)).toBeGreaterThan(0);
    await expect.poll(() => client.keys(`${keys.prefix}gone:*`), { timeout: 5_000 }).toEqual([]);
  });

  it(
    "keeps no more circuits than it may: those that changed longest ago are forgotten",
    { timeout: 120_000 },
    async () => {
      const store = open(`${keys.prefix}full:`, 60_000);
      for (let at = 0; at < 10_100; at += 500) {
        const some = Array.from({ length: Math.min(500, 10_100 - at) }, (_, index) => `c${at + index}`);
        await Promise.all(some.map((key) => store.vote({ ...vote, key })));
      }
      const [records] = await client.keys(`${keys.prefix}full:*:records`);
      expect(await client.hlen(records!)).toBe(10_000);
      expect(await store.read("c0")).toMatchObject({ state: "closed", generation: 0 });
      expect(await store.read("c10099")).toMatchObject({ state: "open" });
    },
  );
});

describe.skipIf(!startsRedis)("redisCircuitStore with a server of its own", () => {
  it("asks it once for all who watch, at intervals, and not at all when nobody does", async () => {
    await using server = await startRedis();
    const client = new Redis(server.url);
    const runs = async () =>
      Number(/cmdstat_evalsha:calls=(\d+)/.exec(await client.info("commandstats"))?.[1] ?? 0);
    try {
      const store = redisCircuitStore({ client, poll: 20 });
      await store.read("the script is known");
      await sleep(100);
      const before = await runs();
      const heard = [0, 0, 0];
      const stops = heard.map((_, watcher) =>
        store.watch({ changed: () => (heard[watcher]! += 1), lost: () => {} }),
      );
      await expect.poll(() => Math.min(...heard)).toBeGreaterThan(3);
      for (const stop of stops) stop();
      expect((await runs()) - before).toBeLessThanOrEqual(Math.max(...heard) + 1);
      await sleep(50);
      const after = await runs();
      await sleep(100);
      expect(await runs()).toBe(after);
      await store.close();
    } finally {
      client.disconnect();
    }
  });

  it("keeps every verb in one slot of a Cluster", async () => {
    await using server = await startRedis({
      cluster: true,
    });
    const admin = new Redis(server.url);
    await admin.call("CLUSTER", "ADDSLOTSRANGE", "0", "16383");
    await expect.poll(() => admin.cluster("INFO"), { timeout: 20_000 }).toContain("cluster_state:ok");
    const client = new Cluster([server.url], {
      redisOptions: REDIS_CLIENT_OPTIONS,
      enableOfflineQueue: false,
    });
    client.on("error", () => {});
    try {
      const store = redisCircuitStore({ client, poll: 20 });
      const told: string[] = [];
      store.watch({ changed: (circuits) => told.push(...circuits.map(({ key }) => key)), lost: () => {} });
      for (const key of ["{a}", "b}", "c"]) {
        const short = { ...openTime, initialMs: 1, maxMs: 1 };
        const { generation } = await store.vote({ ...vote, key, openTime: short });
        const lease = { key, generation, token: "t", probes: 1 };
        await expect
          .poll(async () => (await store.leaseProbe({ ...lease, leaseMs: 60_000 })).granted)
          .toBe(true);
        const { circuit } = await store.probeEnded({ ...lease, verdict: "succeeded", openTime });
        expect(circuit.state).toBe("closed");
      }
      await expect.poll(() => new Set(told)).toEqual(new Set(["{a}", "b}", "c"]));
      await store.close();
    } finally {
      client.disconnect();
      admin.disconnect();
    }
  });
});
