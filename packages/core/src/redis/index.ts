// @holdfast/core/redis: scripts on Redis that cannot hang, and idempotency keys kept there.
export { REDIS_CLIENT_OPTIONS } from "./client.ts";
export type { RedisClient } from "./client.ts";
export { REDIS_IDEMPOTENCY_DEFAULTS, redisIdempotencyStore } from "./idempotency-store.ts";
export type { RedisIdempotencyStoreOptions } from "./idempotency-store.ts";
export { inspectRedis } from "./inspect.ts";
export type { RedisInspection } from "./inspect.ts";
export { hashTagOf, keyPrefix } from "./key-slot.ts";
export { redisFailure } from "./redis-failure.ts";
export type { RedisFailureReason } from "./redis-failure.ts";
export { redisRunner, redisScript } from "./redis-script.ts";
export type { RedisRunner, RedisRunnerOptions, RedisScript, RedisScriptOptions } from "./redis-script.ts";
export { tickBatch } from "./tick-batch.ts";
export type { TickBatch } from "./tick-batch.ts";
