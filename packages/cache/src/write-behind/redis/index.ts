// What of write-behind belongs to @holdfast/cache/redis: the write log that many processes share.
export { REDIS_WRITE_LOG_DEFAULTS, redisWriteLog } from "./redis-log.ts";
export type { RedisWriteLogOptions } from "./redis-log.ts";
