import { setTimeout as sleep } from "node:timers/promises";
import { createCache, sharedTier } from "@holdfast/cache";
import { redisCacheStore } from "@holdfast/cache/redis";
import { cacheStoreConformance } from "@holdfast/cache/testing";
import { REDIS_CLIENT_OPTIONS } from "@holdfast/core/redis";
import { Cluster, Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { freshKeys, startRedisCluster } from "../../../tools/services/index.mjs";

const redisUrl = inject("redisUrl");

describe.skipIf(redisUrl === "")("redisCacheStore", () => {
  const keys = freshKeys(redisUrl);
  let client: Redis;
  beforeAll(() => {
    client = new Redis(redisUrl, REDIS_CLIENT_OPTIONS);
  });
  afterAll(async () => {
    client.disconnect();
    await keys.drop();
  });

  cacheStoreConformance(
    { describe, it },
    {
      make: () => redisCacheStore({ client, prefix: keys.prefix, deadline: "5s" }),
      advance: sleep,
      unitMs: 400,
    },
  );

  it("listens once on each connection, however many caches there are, and not at all when they are closed", async () => {
    const subscriber = client.duplicate();
    const store = redisCacheStore({ client, subscriber, prefix: keys.prefix });
    const share = sharedTier({ store, coherence: "10s" });
    const before = client.listenerCount("close");
    const caches = Array.from({ length: 20 }, (_, index) =>
      createCache<string, string>({ name: `c${index}`, share }),
    );
    expect([client.listenerCount("close") - before, subscriber.listenerCount("message")]).toEqual([1, 1]);
    // Told by the subscription, long before the next question.
    const other = createCache<string, string>({
      name: "c7",
      share: sharedTier({ store: redisCacheStore({ client, prefix: keys.prefix }) }),
    });
    await other.set("k", "old");
    for (let read = 0; read < 3; read += 1) expect(await caches[7]!.get("k")).toBe("old");
    await other.set("k", "new");
    await expect.poll(() => caches[7]!.get("k"), { timeout: 2_000 }).toBe("new");
    await Promise.all([...caches, other].map((cache) => cache.close()));
    expect([client.listenerCount("close") - before, subscriber.listenerCount("message")]).toEqual([0, 0]);
    subscriber.disconnect();
  });

  it("leaves no key without a time to live", async () => {
    const found = await client.keys(`*${keys.prefix}*`);
    expect(found.length).toBeGreaterThan(20);
    for (const key of found) expect(await client.pttl(key), key).not.toBe(-1);
  });
});

describe.skipIf(!inject("startsRedis"))("redisCacheStore on a Cluster of three", () => {
  let servers: Awaited<ReturnType<typeof startRedisCluster>>;
  let client: Cluster;
  beforeAll(async () => {
    servers = await startRedisCluster();
    client = new Cluster([...servers.nodes], {
      redisOptions: { ...REDIS_CLIENT_OPTIONS },
      enableOfflineQueue: false,
    });
    await new Promise((resolve) => client.once("ready", resolve));
  });
  afterAll(async () => {
    client?.disconnect();
    await servers?.stop();
  });

  cacheStoreConformance(
    { describe, it },
    { make: () => redisCacheStore({ client, deadline: "5s" }), advance: sleep, unitMs: 400 },
  );

  it("[pitfall 28] spreads one cache over all nodes, and clears it on all of them", async () => {
    const store = redisCacheStore({ client, deadline: "5s" });
    const region = store.open("spread");
    const ids = Array.from({ length: 100 }, (_, index) => `k${index}`);
    const value = { payload: "x", tags: ["t"], freshMs: 60_000, lastMs: 60_000, loadMs: 0 };
    await Promise.all(ids.map((id) => region.set(id, value)));
    const sizes = await Promise.all(
      client.nodes("master").map(async (node) => (await node.keys("*spread:key:*")).length),
    );
    expect(sizes).toHaveLength(3);
    for (const size of sizes) expect(size).toBeGreaterThan(5);
    await region.clear();
    const read = { have: 0, lease: "never", leaseMs: 1, idleMs: Infinity, holder: "", instead: 0 } as const;
    const left = await Promise.all(ids.map((id) => region.read({ ...read, id })));
    expect(left.filter(({ entry }) => entry !== undefined)).toEqual([]);
    await store.close();
  });
});
