// @holdfast/queue/redis: tasks in Redis.
export type { RedisQueueClient, RedisSubscriber } from "./subscription.ts";
export { REDIS_TASK_STORE_DEFAULTS, redisTaskStore } from "./redis-task-store.ts";
export type { RedisTaskStoreOptions } from "./redis-task-store.ts";
export { StoreUnfitError } from "../store/store-unfit-error.ts";
