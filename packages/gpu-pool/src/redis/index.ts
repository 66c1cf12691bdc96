// @holdfast/gpu-pool/redis: a registry of models in Redis.
export { redisModelStore } from "./redis-model-store.ts";
export type { RedisModelStoreOptions } from "./redis-model-store.ts";
