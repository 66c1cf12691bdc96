// Suite `cache`: what a hit costs, in one process and in a fleet; and what each cache does when things go wrong.
import { fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { createCache as createDedupe } from "async-cache-dedupe";
import { BentoCache, bentostore } from "bentocache";
import { memoryDriver } from "bentocache/drivers/memory";
import { createCache as createManager } from "cache-manager";
import { Cacheable } from "cacheable";
import { redisDriver } from "bentocache/drivers/redis";
import { Cluster, Redis } from "ioredis";
import { LRUCache } from "lru-cache";
import { createCache, memoryCacheStore, sharedTier } from "../../packages/cache/dist/index.js";
import { redisCacheStore } from "../../packages/cache/dist/redis.js";
import { REDIS_CLIENT_OPTIONS } from "../../packages/core/dist/redis.js";
import { startRedis, startRedisCluster } from "../../tools/services/index.mjs";

const MEMBER = fileURLToPath(new URL("../lib/cache-member.mjs", import.meta.url));

const KEYS = 1_000;
const keys = Array.from({ length: KEYS }, (_, index) => `user:${index}`);
let turn = 0;
const nextKey = () => keys[(turn = (turn + 389) % KEYS)];
const load = async (key) => ({ key });
const HOUR_MS = 3_600_000;

const ours = createCache({ load, ttl: "1h" });
const inFleet = createCache({ load, ttl: "1h", share: sharedTier({ store: memoryCacheStore() }) });
const lru = new LRUCache({ max: 10_000, ttl: HOUR_MS, fetchMethod: load });
const dedupe = createDedupe({ ttl: 3_600, storage: { type: "memory" } }).define("fetch", load);
const cacheable = new Cacheable({ ttl: "1h" });
const manager = createManager({ ttl: HOUR_MS });
const bento = new BentoCache({
  default: "memory",
  stores: { memory: bentostore().useL1Layer(memoryDriver({ maxItems: 10_000 })) },
});

const contenders = {
  "lru-cache fetch": (key) => lru.fetch(key),
  "async-cache-dedupe": (key) => dedupe.fetch(key),
  "cache-manager": (key) => manager.wrap(key, () => load(key)),
  cacheable: (key) => cacheable.getOrSet(key, () => load(key)),
  bentocache: (key) => bento.getOrSet({ key, factory: () => load(key), ttl: "1h" }),
};
for (const key of keys) {
  await ours.get(key);
  await inFleet.get(key);
  for (const get of Object.values(contenders)) await get(key);
}

export const rows = [
  {
    name: "hit of 1,000 keys, load-through, in memory",
    ours: () => ours.get(nextKey()),
    peers: Object.fromEntries(Object.entries(contenders).map(([name, get]) => [name, () => get(nextKey())])),
    target: { minRatio: { "lru-cache fetch": 0.8, "async-cache-dedupe": 3, cacheable: 25 } },
  },
  {
    name: "the same in a cache that is shared, from its memory",
    ours: () => inFleet.get(nextKey()),
    peers: { "lru-cache fetch": () => lru.fetch(nextKey()) },
  },
  {
    name: "loads of one key, by 4 processes with 250 callers each",
    unit: "",
    measure: loadsInStorm,
  },
  {
    name: "old values that are kept after an invalidation while they were loaded, of 1",
    unit: "",
    measure: keptStale,
  },
  {
    name: "old values that are kept after a tag's invalidation while they were loaded, of 1",
    unit: "",
    measure: keptStaleByTag,
  },
  {
    name: "loaders at once, for 20 callers who come one after the other and give up before it ends",
    unit: "",
    measure: loadersAtOnce,
  },
  {
    name: "callers, of 2, who are given nothing instead of the error of the loader",
    unit: "",
    measure: errorsSwallowed,
  },
  {
    name: "entries left by clear() on a Cluster of three, of 100",
    unit: "",
    measure: leftOnCluster,
  },
];

/** The source changes and the key is invalidated while a load is under way that has seen the old value. */
const probe = async (get, invalidate) => {
  let value = "old";
  let answer = () => {};
  const slow = () => {
    const seen = value;
    return new Promise((resolve) => (answer = () => resolve(seen)));
  };
  const first = Promise.resolve(get(slow)).catch(() => {});
  await new Promise((resolve) => setImmediate(resolve));
  const finish = answer;
  value = "new";
  await invalidate();
  finish();
  await first;
  await new Promise((resolve) => setImmediate(resolve));
  const again = Promise.resolve(get(async () => value));
  await new Promise((resolve) => setImmediate(resolve));
  answer();
  return (await again) === "old" ? 1 : 0;
};

async function keptStale() {
  const [one, two] = [{ load: undefined }, { load: undefined }];
  const mine = createCache({ load: () => one.load() });
  const theirs = new LRUCache({ max: 10, fetchMethod: () => two.load() });
  const three = { load: undefined };
  const deduped = createDedupe({
    ttl: 3_600,
    storage: { type: "memory", options: { invalidation: true } },
  }).define("probe", { references: () => ["probe"] }, () => three.load());
  return {
    ours: await probe(
      (slow) => ((one.load = slow), mine.get("probe")),
      () => mine.invalidate("probe"),
    ),
    "lru-cache fetch": await probe(
      (slow) => ((two.load = slow), theirs.fetch("probe")),
      () => theirs.delete("probe"),
    ),
    "async-cache-dedupe": await probe(
      (slow) => ((three.load = slow), deduped.probe("k")),
      () => deduped.clear("probe", "k"),
    ),
    "cache-manager": await probe(
      (slow) => manager.wrap("probe", slow),
      () => manager.del("probe"),
    ),
    cacheable: await probe(
      (slow) => cacheable.getOrSet("probe", slow),
      () => cacheable.delete("probe"),
    ),
    bentocache: await probe(
      (slow) => bento.getOrSet({ key: "probe", factory: slow, ttl: "1h" }),
      () => bento.delete({ key: "probe" }),
    ),
  };
}

async function keptStaleByTag() {
  const one = { load: undefined };
  const mine = createCache({ load: () => one.load(), tags: () => ["tag"] });
  return {
    ours: await probe(
      (slow) => ((one.load = slow), mine.get("tagged")),
      () => mine.invalidateTag("tag"),
    ),
    cacheable: await probe(
      (slow) => cacheable.getOrSet("tagged", slow, { tags: ["tag"] }),
      () => cacheable.invalidateTag?.("tag") ?? cacheable.deleteByTag?.("tag"),
    ),
    bentocache: await probe(
      (slow) => bento.getOrSet({ key: "tagged", factory: slow, ttl: "1h", tags: ["tag"] }),
      () => bento.deleteByTag({ tags: ["tag"] }),
    ),
  };
}

async function loadersAtOnce() {
  const count = async (get) => {
    let [running, most] = [0, 0];
    const slow = async () => {
      running += 1;
      most = Math.max(most, running);
      await new Promise((resolve) => setTimeout(resolve, 200));
      running -= 1;
      return "late";
    };
    const calls = [];
    for (let caller = 0; caller < 20; caller += 1) {
      calls.push(Promise.resolve(get(slow)).catch(() => {}));
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    await Promise.all(calls);
    return most;
  };
  const one = { load: undefined };
  const mine = createCache({ load: () => one.load(), hardDeadline: 20 });
  return {
    ours: await count((slow) => ((one.load = slow), mine.get("slow"))),
    bentocache: await count((slow) =>
      bento.getOrSet({ key: "slow", factory: slow, ttl: "1h", hardTimeout: 20 }),
    ),
  };
}

async function errorsSwallowed() {
  const fails = async () => {
    throw new Error("down");
  };
  const given = async (get) =>
    (await Promise.allSettled([get(), get()])).filter(({ status }) => status === "fulfilled").length;
  const mine = createCache({ load: fails });
  const theirs = new LRUCache({ max: 10, fetchMethod: fails });
  const deduped = createDedupe({ ttl: 60, storage: { type: "memory" } }).define("failing", fails);
  return {
    ours: await given(() => mine.get("k")),
    "lru-cache fetch": await given(() => theirs.fetch("k")),
    "async-cache-dedupe": await given(() => deduped.failing("k")),
    "cache-manager": await given(() => manager.wrap("failing", fails)),
    cacheable: await given(() => cacheable.getOrSet("failing", fails)),
    bentocache: await given(() => bento.getOrSet({ key: "failing", factory: fails, ttl: "1h" })),
  };
}

async function loadsInStorm() {
  const server = await startRedis();
  const client = new Redis(server.url);
  const storm = async (kind) => {
    const members = Array.from({ length: 4 }, () => fork(MEMBER, [kind, server.url]));
    await Promise.all(members.map((member) => once(member, "message")));
    const ended = members.map((member) => once(member, "message"));
    for (const member of members) member.send("go");
    await Promise.all(ended);
    return Number(await client.get(`loads:${kind}:hot`));
  };
  try {
    return { ours: await storm("ours"), bentocache: await storm("bentocache") };
  } finally {
    client.disconnect();
    await server.stop();
  }
}

async function leftOnCluster() {
  const servers = await startRedisCluster();
  const connect = async () => {
    const client = new Cluster([...servers.nodes], { redisOptions: { ...REDIS_CLIENT_OPTIONS } });
    await new Promise((resolve) => client.once("ready", resolve));
    return client;
  };
  const [mineClient, theirClient] = [await connect(), await connect()];
  const left = async (set, clear, get) => {
    for (const key of keys.slice(0, 100)) await set(key);
    await clear();
    let count = 0;
    for (const key of keys.slice(0, 100)) if ((await get(key)) !== undefined) count += 1;
    return count;
  };
  try {
    const mine = createCache({
      share: sharedTier({ store: redisCacheStore({ client: mineClient }), coherence: 0 }),
    });
    const store = bentostore().useL2Layer(redisDriver({ connection: theirClient }));
    const theirs = new BentoCache({ default: "redis", stores: { redis: store } });
    return {
      ours: await left(
        (key) => mine.set(key, key),
        () => mine.clear(),
        (key) => mine.get(key),
      ),
      bentocache: await left(
        (key) => theirs.set({ key, value: key, ttl: "1h" }),
        () => theirs.clear(),
        (key) => theirs.get({ key }),
      ),
    };
  } finally {
    mineClient.disconnect();
    theirClient.disconnect();
    await servers.stop();
  }
}
