// @holdfast/ratelimit/redis: counts that many processes share, decided by one script on the server's clock.
export { REDIS_RATE_LIMIT_DEFAULTS, redisRateLimitStore } from "./redis-store.ts";
export type { RedisRateLimitStoreOptions } from "./redis-store.ts";
