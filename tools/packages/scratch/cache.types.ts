// Uses @holdfast/cache from strict TypeScript.
import type { Cache, CacheStore, WriteBehind, WriteLog } from "@holdfast/cache";
import {
  createCache,
  jsonCodec,
  loadsInBatches,
  memoryCacheStore,
  memoryWriteLog,
  sharedTier,
  writeBehind,
} from "@holdfast/cache";
import { fileWriteLog } from "@holdfast/cache/file";
import type { RedisCacheStoreOptions } from "@holdfast/cache/redis";
import { redisCacheStore } from "@holdfast/cache/redis";
import { cacheStoreConformance } from "@holdfast/cache/testing";
import type { HttpCache, StoredResponse } from "@holdfast/cache/http";
import { httpCache } from "@holdfast/cache/http";
import { withMiddleware } from "@holdfast/core";

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

export const behind: WriteBehind<string, User> = writeBehind({
  log: memoryWriteLog(),
  write: async (id: string, { name }: User, { fence }) => console.log(id, name, fence),
});
export const writing: Cache<string, User> = createCache({ load: behind.load, write: behind.write });
export const log: Promise<WriteLog> = fileWriteLog({ path: "users.log", fsync: { every: "1s" } });

// @ts-expect-error a log has to be named
writeBehind({ write: () => {} });
export const responses: HttpCache = httpCache({
  cache: (needs) => createCache({ ...needs, maxBytes: 1_000_000 }),
  credentials: ["x-user"],
});
export const handler: unknown = withMiddleware(() => new Response(), responses.middleware);
export const sizeOf = ({ body }: StoredResponse): number => body.byteLength;

// @ts-expect-error a number is no list of names
httpCache({ credentials: 5 });
