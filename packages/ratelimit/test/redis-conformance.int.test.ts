import { setTimeout as sleep } from "node:timers/promises";
import { REDIS_CLIENT_OPTIONS } from "@holdfast/core/redis";
import { leasedStore } from "@holdfast/ratelimit";
import { redisRateLimitStore } from "@holdfast/ratelimit/redis";
import { rateLimitStoreConformance } from "@holdfast/ratelimit/testing";
import { Cluster, Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { freshKeys, startRedisCluster } from "../../../tools/services/index.mjs";

const redisUrl = inject("redisUrl");

describe.skipIf(redisUrl === "")("redisRateLimitStore", () => {
  const keys = freshKeys(redisUrl);
  let client: Redis;
  const open = () => redisRateLimitStore({ client, prefix: keys.prefix });
  beforeAll(() => {
    client = new Redis(redisUrl, REDIS_CLIENT_OPTIONS);
  });
  afterAll(async () => {
    client.disconnect();
    await keys.drop();
  });

  rateLimitStoreConformance({ describe, it }, { make: open, advance: sleep, unitMs: 1_000 });

  describe("behind leasedStore", () => {
    rateLimitStoreConformance(
      { describe, it },
      {
        make: () => leasedStore({ store: open(), lease: "50ms" }),
        advance: sleep,
        unitMs: 1_000,
        lends: true,
      },
    );
  });

  it("[pitfalls 3, 10] leaves no key without a time to live", async () => {
    const found = await client.keys(`*${keys.prefix}*`);
    expect(found.length).toBeGreaterThan(100);
    for (const key of found) expect(await client.pttl(key), key).not.toBe(-1);
  });
});

describe.skipIf(!inject("startsRedis"))("redisRateLimitStore on a Cluster of three", () => {
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

  rateLimitStoreConformance(
    { describe, it },
    { make: () => redisRateLimitStore({ client, deadline: "5s" }), advance: sleep, unitMs: 1_000 },
  );

  it("[pitfall 8] spreads its keys over all nodes", async () => {
    const sizes = await Promise.all(client.nodes("master").map((node) => node.dbsize()));
    expect(sizes).toHaveLength(3);
    for (const size of sizes) expect(size).toBeGreaterThan(5);
  });
});
