// One process of a fleet that asks one cache for a key 250 times at once. Arguments: which cache, the URL of a Redis.
// Says when it is ready, begins when it is told to, and says when it has all answers.
import { setTimeout as sleep } from "node:timers/promises";
import { Redis } from "ioredis";
import { createCache, sharedTier } from "../../packages/cache/dist/index.js";
import { redisCacheStore } from "../../packages/cache/dist/redis.js";
import { REDIS_CLIENT_OPTIONS } from "../../packages/core/dist/redis.js";

const [kind, url] = process.argv.slice(2);
const client = new Redis(url, REDIS_CLIENT_OPTIONS);
await new Promise((resolve) => client.once("ready", resolve));

/** Counts, and takes its time. */
const load = async (key) => {
  await client.incr(`loads:${kind}:${key}`);
  await sleep(100);
  return { key };
};

const makers = {
  ours: () => {
    const cache = createCache({
      name: "storm",
      load,
      share: sharedTier({ store: redisCacheStore({ client }) }),
    });
    return (key) => cache.get(key);
  },
  bentocache: async () => {
    const { BentoCache, bentostore } = await import("bentocache");
    const { memoryDriver } = await import("bentocache/drivers/memory");
    const { redisDriver, redisBusDriver } = await import("bentocache/drivers/redis");
    const { hostname: host, port } = new URL(url);
    const connection = { host, port: Number(port) };
    const store = bentostore()
      .useL1Layer(memoryDriver({ maxItems: 1_000 }))
      .useL2Layer(redisDriver({ connection }))
      .useBus(redisBusDriver({ connection }));
    const cache = new BentoCache({ default: "tiers", stores: { tiers: store } });
    return (key) => cache.getOrSet({ key, factory: () => load(key), ttl: "1h" });
  },
};

const get = await makers[kind]();
process.send("ready");
await new Promise((resolve) => process.once("message", resolve));
await Promise.all(Array.from({ length: 250 }, () => get("hot")));
process.send("done", () => process.exit());
