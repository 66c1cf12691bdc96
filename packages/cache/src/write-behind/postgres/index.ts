// @holdfast/cache/postgres: a write log in PostgreSQL, which many processes share.
export { POSTGRES_WRITE_LOG_DEFAULTS, postgresWriteLog, postgresWriteLogMigrations } from "./postgres-log.ts";
export type { PostgresWriteLog, PostgresWriteLogOptions } from "./postgres-log.ts";
