// @holdfast/core/postgres: statements that cannot hang, transactions, migrations, and idempotency keys kept there.
export {
  POSTGRES_IDEMPOTENCY_DEFAULTS,
  postgresIdempotencyMigrations,
  postgresIdempotencyStore,
} from "./idempotency-store.ts";
export type { PostgresIdempotencyStore, PostgresIdempotencyStoreOptions } from "./idempotency-store.ts";
export { PG_LISTENER_DEFAULTS, pgListener } from "./listener.ts";
export type {
  PgListener,
  PgListenerOptions,
  PgListeningClient,
  PgNotification,
  PgWakeUp,
} from "./listener.ts";
export { migrate } from "./migrate.ts";
export type { MigrateOptions, Migration } from "./migrate.ts";
export { pgFailure, sqlStateOf } from "./pg-failure.ts";
export type { PgFailureReason } from "./pg-failure.ts";
export { pgRunner } from "./pg-runner.ts";
export type { PgCallOptions, PgRunner, PgRunnerOptions } from "./pg-runner.ts";
export { fromPostgresJs } from "./queryable.ts";
export type {
  PgClient,
  PgConnection,
  PgPool,
  PgQueryable,
  PgResult,
  PostgresJs,
  PostgresJsPool,
} from "./queryable.ts";
export { tableName } from "./table-name.ts";
export type { TableName } from "./table-name.ts";
export { transaction } from "./transaction.ts";
export type { TransactionOptions } from "./transaction.ts";
export { fromStoredText, toStoredText } from "../stores/stored-text.ts";
