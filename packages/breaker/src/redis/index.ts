// @holdfast/breaker/redis: circuits shared through Redis.
export { REDIS_CIRCUIT_STORE_DEFAULTS, redisCircuitStore } from "./redis-circuit-store.ts";
export type { RedisCircuitStoreOptions } from "./redis-circuit-store.ts";
