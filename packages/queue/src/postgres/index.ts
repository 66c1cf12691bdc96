// @holdfast/queue/postgres: tasks in PostgreSQL.
export { StoreUnfitError } from "../store/store-unfit-error.ts";
export type { CompleteWithinOptions } from "./complete-within.ts";
export { completeWithin } from "./complete-within.ts";
export type { PostgresTaskStore, PostgresTaskStoreOptions } from "./postgres-task-store.ts";
export {
  POSTGRES_TASK_STORE_DEFAULTS,
  postgresTaskMigrations,
  postgresTaskStore,
} from "./postgres-task-store.ts";
