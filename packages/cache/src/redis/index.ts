// @holdfast/cache/redis: caches shared through Redis, and logs of write-behind there.
export { REDIS_CACHE_STORE_DEFAULTS, redisCacheStore } from "./redis-store.ts";
export type { RedisCacheStoreOptions } from "./redis-store.ts";
export type { RedisSubscriber } from "./redis-news.ts";
export { REDIS_WRITE_LOG_DEFAULTS, redisWriteLog } from "../write-behind/redis/redis-log.ts";
export type { RedisWriteLogOptions } from "../write-behind/redis/redis-log.ts";
