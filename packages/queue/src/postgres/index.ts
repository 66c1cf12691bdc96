// @holdfast/queue/postgres: tasks in PostgreSQL.
export {
  POSTGRES_TASK_STORE_DEFAULTS,
  postgresTaskMigrations,
  postgresTaskStore,
} from "./postgres-task-store.ts";
export type { PostgresTaskStore, PostgresTaskStoreOptions } from "./postgres-task-store.ts";
export { StoreUnfitError } from "../store-unfit-error.ts";
