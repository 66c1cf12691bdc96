// @holdfast/queue/redis: tasks in Redis.
export { StoreUnfitError } from "../store/store-unfit-error.ts";
export type { WritesLostEvent } from "./lost-writes.ts";
export type { RedisTaskStoreOptions } from "./redis-task-store.ts";
export { REDIS_TASK_STORE_DEFAULTS, redisTaskStore } from "./redis-task-store.ts";
export type { RedisQueueClient, RedisSubscriber } from "./subscription.ts";
