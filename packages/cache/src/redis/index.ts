// @holdfast/cache/redis: caches shared through Redis.
export { REDIS_CACHE_STORE_DEFAULTS, redisCacheStore } from "./redis-store.ts";
export type { RedisCacheStoreOptions, RedisSubscriber } from "./redis-store.ts";
