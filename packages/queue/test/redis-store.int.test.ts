import { REDIS_CLIENT_OPTIONS } from "@holdfast/core/redis";
import { redisTaskStore } from "@holdfast/queue/redis";
import { queueStoreConformance } from "@holdfast/queue/testing";
import { Redis } from "ioredis";
import { afterAll, beforeAll, describe, inject, it } from "vitest";
import { freshKeys } from "../../../tools/services/index.mjs";
import { longWay } from "./support/redis-long-way.ts";
import type { RedisOnAClock } from "./support/redis-on-a-clock.ts";
import { redisOnAClock } from "./support/redis-on-a-clock.ts";

const redisUrl = inject("redisUrl");

describe.skipIf(redisUrl === "")("redisTaskStore", () => {
  const keys = freshKeys(redisUrl);
  let redis: Redis;
  let timed: RedisOnAClock | undefined;
  let made = 0;
  beforeAll(async () => {
    redis = new Redis(redisUrl, REDIS_CLIENT_OPTIONS);
    await new Promise((resolve) => redis.once("ready", resolve));
  });
  afterAll(async () => {
    timed?.close();
    redis.disconnect();
    await keys.drop();
  });

  function open(change: (lua: string) => string = (lua) => lua) {
    timed?.close();
    timed = redisOnAClock(redis, change);
    made += 1;
    return redisTaskStore({ client: timed.client, clock: timed.clock, prefix: `${keys.prefix}${made}:` });
  }
  const advance = (ms: number): Promise<void> => timed!.advance(ms);

  queueStoreConformance({ describe, it }, { make: () => open(), advance });

  describe("when all goes the long way", () => {
    queueStoreConformance({ describe, it }, { make: () => open(longWay), advance });
  });

  describe("with inputs and results that are all too large for a record", () => {
    const tight = (lua: string): string =>
      longWay(lua).replace("#body <= 1024", "#body <= 2").replace("#result > 1024", "#result > 2");
    queueStoreConformance({ describe, it }, { make: () => open(tight), advance });
  });
});
