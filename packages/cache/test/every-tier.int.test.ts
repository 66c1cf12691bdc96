// The same behaviour of a cache, whatever its tiers: one process, memory over memory, over Redis, over a Cluster.
import { setTimeout as sleep } from "node:timers/promises";
import type { Cache, CacheOptions, CacheStore } from "@holdfast/cache";
import { createCache, memoryCacheStore, sharedTier } from "@holdfast/cache";
import { redisCacheStore } from "@holdfast/cache/redis";
import { REDIS_CLIENT_OPTIONS } from "@holdfast/core/redis";
import { Cluster, Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { freshKeys, startRedisCluster } from "../../../tools/services/index.mjs";
import { row } from "../../../tools/systems/row.mjs";

type Options = CacheOptions<string, string>;

/** Every behaviour with caches of this kind; each test has a name of its own. */
function behaves(title: string, shareOf: () => { readonly share?: NonNullable<Options["share"]> }): void {
  describe(title, () => {
    let turn = 0;
    const open: Cache<string, string>[] = [];
    const make = (options: Partial<Options>): Cache<string, string> => {
      const cache = createCache<string, string>({
        name: `${title} ${(turn += 1)}`,
        jitter: 0,
        ttl: "1h",
        ...options,
        ...shareOf(),
      });
      open.push(cache);
      return cache;
    };
    afterAll(() => Promise.all(open.map((cache) => cache.close())));

    it(row([60, 63], "reads through: a hit asks the source for nothing"), async () => {
      let asked = 0;
      const cache = make({ load: async (id) => `${id}:${(asked += 1)}` });
      expect(await Promise.all([cache.get("a"), cache.get("a")])).toEqual(["a:1", "a:1"]);
      for (let read = 0; read < 20; read += 1) expect(await cache.get("a")).toBe("a:1");
      expect([await cache.get("b"), asked]).toEqual(["b:2", 2]);
    });

    it(row(64, "ends a value by itself after its time to live, however often it is read"), async () => {
      const seen = new Set<string | undefined>();
      let asked = 0;
      const cache = make({ ttl: 200, load: async () => `${(asked += 1)}` });
      for (let read = 0; read < 250 && seen.size < 3; read += 1) {
        seen.add(await cache.get("a"));
        await sleep(20);
      }
      expect([...seen]).toEqual(["1", "2", "3"]);
    });

    it("removes by key, by tag, and everything", async () => {
      let version = 1;
      const cache = make({ load: async () => `v${version}`, tags: () => ["t"] });
      for (const remove of [
        () => cache.invalidate("a"),
        () => cache.invalidateTag("t"),
        () => cache.clear(),
      ]) {
        const before = `v${version}`;
        expect(await cache.get("a")).toBe(before);
        version += 1;
        await remove();
        expect(await cache.get("a")).toBe(`v${version}`);
      }
    });

    it("keeps nothing that was loaded before it was removed", async () => {
      for (const by of ["key", "tag", "all", "set"] as const) {
        let finish = (): void => {};
        let value = "old";
        const cache = make({
          tags: () => ["t"],
          load: () => {
            const seen = value;
            return new Promise((resolve) => (finish = () => resolve(seen)));
          },
        });
        const early = cache.get("a");
        await expect.poll(() => cache.snapshot().loading).toBe(1);
        value = "new";
        const first = finish;
        if (by === "key") await cache.invalidate("a");
        else if (by === "tag") await cache.invalidateTag("t");
        else if (by === "all") await cache.clear();
        else await cache.set("a", "set");
        first();
        expect(await early).toBe("old");
        const late = cache.get("a");
        if (by !== "set") await expect.poll(() => cache.snapshot().loading).toBe(1);
        finish();
        expect(await late, by).toBe(by === "set" ? "set" : "new");
      }
    });

    it("writes through, and leaves nothing of a write that fails", async () => {
      const source = new Map([["a", "old"]]);
      let fails = false;
      const cache = make({
        load: async (id) => source.get(id),
        write: async (id, value) => {
          source.set(id, value);
          if (fails) throw new Error("lost");
        },
      });
      await cache.get("a");
      await cache.put("a", "new");
      expect(await cache.get("a")).toBe("new");
      fails = true;
      await expect(cache.put("a", "newer")).rejects.toThrow("lost");
      expect(await cache.get("a")).toBe("newer");
    });

    it("serves what is stale while one load brings what is new", async () => {
      let asked = 0;
      const cache = make({ ttl: 50, staleWhileRevalidate: "1h", load: async () => `${(asked += 1)}` });
      await cache.get("a");
      await sleep(80);
      expect(await Promise.all([cache.get("a"), cache.get("a")])).toEqual(["1", "1"]);
      await expect.poll(() => asked).toBe(2);
    });

    it("serves what is stale when loading fails, and rejects when there is nothing", async () => {
      let fails = false;
      const load = async () => {
        if (fails) throw new Error("down");
        return "value";
      };
      const cache = make({ ttl: 50, staleIfError: "1h", load });
      await cache.get("a");
      fails = true;
      await sleep(80);
      expect(await cache.get("a")).toBe("value");
      await expect(cache.get("b")).rejects.toThrow("down");
      await cache.invalidate("a");
      await expect(cache.get("a")).rejects.toThrow("down");
    });

    it("[pitfall 32] removes many thousand at once", async () => {
      const cache = make({});
      const ids = Array.from({ length: 3_000 }, (_, index) => `k${index}`);
      await Promise.all(ids.map((id) => cache.set(id, id, { tags: [`t:${id}`] })));
      await Promise.all(
        ids.map((id, index) => (index % 2 === 0 ? cache.invalidate(id) : cache.invalidateTag(`t:${id}`))),
      );
      const left = await Promise.all(ids.map((id) => cache.get(id)));
      expect(left.filter((value) => value !== undefined)).toEqual([]);
    });
  });
}

const tieredOver = (store: () => CacheStore) => () => ({
  share: sharedTier({ store: store(), coherence: "1s" }),
});

behaves("a cache of one process", () => ({}));
const memory = memoryCacheStore();
behaves(
  "a cache of two tiers in memory",
  tieredOver(() => memory),
);

const redisUrl = inject("redisUrl");
describe.skipIf(redisUrl === "")("with a Redis", () => {
  const keys = freshKeys(redisUrl);
  let client: Redis;
  let store: CacheStore;
  beforeAll(() => {
    client = new Redis(redisUrl, REDIS_CLIENT_OPTIONS);
    store = redisCacheStore({ client, prefix: keys.prefix, deadline: "10s" });
  });
  afterAll(async () => {
    client.disconnect();
    await keys.drop();
  });
  behaves(
    "a cache of memory over Redis",
    tieredOver(() => store),
  );
  behaves("a cache that asks Redis at each read", () => ({ share: sharedTier({ store, coherence: 0 }) }));
});

describe.skipIf(!inject("startsRedis"))("with a Cluster", () => {
  let servers: Awaited<ReturnType<typeof startRedisCluster>>;
  let client: Cluster;
  let store: CacheStore;
  beforeAll(async () => {
    servers = await startRedisCluster();
    client = new Cluster([...servers.nodes], {
      redisOptions: { ...REDIS_CLIENT_OPTIONS },
      enableOfflineQueue: false,
    });
    await new Promise((resolve) => client.once("ready", resolve));
    store = redisCacheStore({ client, deadline: "10s" });
  });
  afterAll(async () => {
    client?.disconnect();
    await servers?.stop();
  });
  behaves(
    "a cache of memory over a Cluster",
    tieredOver(() => store),
  );
});
