// Uses @holdfast/cache from strict TypeScript.
import type { Cache, CacheStore } from "@holdfast/cache";
import { createCache, jsonCodec, loadsInBatches, memoryCacheStore, sharedTier } from "@holdfast/cache";
import type { RedisCacheStoreOptions } from "@holdfast/cache/redis";
import { redisCacheStore } from "@holdfast/cache/redis";
import { cacheStoreConformance } from "@holdfast/cache/testing";

interface User {
  readonly name: string;
}

export const users: Cache<string, User> = createCache({ load: async (id: string) => ({ name: id }) });
export const byParts: Cache<readonly [string, number], User | null> = createCache({ ttl: "5m" });
export const user: Promise<User | undefined> = users.get("42");
export const none: Promise<User | null | undefined> = byParts.get(["tenant", 42]);
export const shared: Cache<string, User> = createCache({
  load: loadsInBatches({ loadMany: async (ids: readonly string[]) => ids.map((name) => ({ name })) }),
  codec: jsonCodec<User>(),
  share: sharedTier({ store: memoryCacheStore() }),
});
export const inRedis = (options: RedisCacheStoreOptions): CacheStore => redisCacheStore(options);
export const suite: typeof cacheStoreConformance = cacheStoreConformance;

// @ts-expect-error undefined says that there is none
createCache<string, undefined>({});

// @ts-expect-error not a key
void users.get({ id: "42" });
