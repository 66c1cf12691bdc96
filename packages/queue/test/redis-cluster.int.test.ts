import { REDIS_CLIENT_OPTIONS } from "@holdfast/core/redis";
import { redisTaskStore } from "@holdfast/queue/redis";
import { queueStoreConformance } from "@holdfast/queue/testing";
import { Cluster } from "ioredis";
import { afterAll, beforeAll, describe, inject, it } from "vitest";
import { startRedisCluster } from "../../../tools/services/index.mjs";
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
