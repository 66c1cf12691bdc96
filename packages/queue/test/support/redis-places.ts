// Places of their own in the shared Redis for the tests of a suite, each on a clock of its own.
import { REDIS_CLIENT_OPTIONS } from "@holdfast/core/redis";
import { Redis } from "ioredis";
import { afterAll, beforeAll } from "vitest";
import { freshKeys } from "../../../../tools/services/index.mjs";
import type { RedisOnAClock } from "./redis-on-a-clock.ts";
import { redisOnAClock } from "./redis-on-a-clock.ts";

export interface RedisPlace extends RedisOnAClock {
  readonly prefix: string;
}

export interface RedisPlaces {
  /** There from the first test on. */
  readonly redis: Redis;
  /** @param change - What is to be different in scripts. */
  open(change?: (lua: string) => string): RedisPlace;
}

/** To be called while the tests of a suite are told. */
export function redisPlaces(redisUrl: string): RedisPlaces {
  const keys = freshKeys(redisUrl);
  let redis: Redis;
  let made = 0;
  beforeAll(async () => {
    redis = new Redis(redisUrl, REDIS_CLIENT_OPTIONS);
    await new Promise((resolve) => redis.once("ready", resolve));
  });
  afterAll(async () => {
    redis.disconnect();
    await keys.drop();
  });
  return {
    get redis() {
      return redis;
    },
    open: (change) => {
      made += 1;
      return { ...redisOnAClock(redis, change), prefix: `${keys.prefix}${made}:` };
    },
  };
}
