// @holdfast/queue/postgres: tasks in PostgreSQL.
export { completeWithin } from "./complete-within.ts";
export type { CompleteWithinOptions } from "./complete-within.ts";
export {
  POSTGRES_TASK_STORE_DEFAULTS,
  postgresTaskMigrations,
  postgresTaskStore,
} from "./postgres-task-store.ts";
export type { PostgresTaskStore, PostgresTaskStoreOptions } from "./postgres-task-store.ts";
export { StoreUnfitError } from "../store/store-unfit-error.ts";
