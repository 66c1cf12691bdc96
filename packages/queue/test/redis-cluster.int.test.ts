import { REDIS_CLIENT_OPTIONS } from "@holdfast/core/redis";
import { redisTaskStore } from "@holdfast/queue/redis";
import { queueStoreConformance } from "@holdfast/queue/testing";
import { Cluster, Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { startRedisCluster } from "../../../tools/services/index.mjs";
import { rejection } from "./bench.ts";
import type { RedisOnAClock } from "./support/redis-on-a-clock.ts";
import { redisOnAClock } from "./support/redis-on-a-clock.ts";

describe.skipIf(!inject("startsRedis"))("redisTaskStore on a Cluster of three", () => {
  let servers: Awaited<ReturnType<typeof startRedisCluster>>;
  let cluster: Cluster;
  let timed: RedisOnAClock | undefined;
  let made = 0;
  beforeAll(async () => {
    servers = await startRedisCluster();
    cluster = new Cluster([...servers.nodes], {
      redisOptions: { ...REDIS_CLIENT_OPTIONS },
      enableOfflineQueue: false,
    });
    await new Promise((resolve) => cluster.once("ready", resolve));
  });
  afterAll(async () => {
    timed?.close();
    cluster?.disconnect();
    await servers?.stop();
  });

  it("refuses a Cluster of which one master may evict keys, whichever it asks first", async () => {
    const [, { host, port }] = servers.nodes as [unknown, { host: string; port: number }];
    const node = new Redis(port, host);
    await node.config("SET", "maxmemory-policy", "allkeys-lru");
    for (let look = 0; look < 4; look += 1) {
      const store = redisTaskStore({ client: cluster, prefix: `unfit-${look}:` });
      expect(await rejection(store.stats("q"))).toMatchObject({
        code: "STORE_UNFIT",
        message: expect.stringContaining("The maxmemory-policy of a master is allkeys-lru"),
      });
      await store.close();
    }
    const lax = redisTaskStore({ client: cluster, prefix: "lax:", allowEviction: true });
    expect((await lax.stats("q")).ready).toBe(0);
    await lax.close();
    await node.config("SET", "maxmemory-policy", "noeviction");
    node.disconnect();
  });

  queueStoreConformance(
    { describe, it },
    {
      make: () => {
        timed?.close();
        timed = redisOnAClock(cluster);
        made += 1;
        return redisTaskStore({ client: timed.client, clock: timed.clock, prefix: `${made}:` });
      },
      advance: (ms) => timed!.advance(ms),
    },
  );
});
