// Schema changes: each applied once, whoever else migrates at the same time.
import type { Duration } from "../time/duration.ts";
import type { PgClient, PgQueryable } from "./queryable.ts";
import { pgFailure } from "./pg-failure.ts";
import { transaction } from "./transaction.ts";

/** One change of a schema. Once released it never changes; a later one builds on it. */
export interface Migration {
  /** Unique: what it belongs to and a number, such as `queue:jobs:1`. */
  readonly name: string;
  /** One statement each, all in one transaction. */
  readonly statements: readonly string[];
}

export interface MigrateOptions {
  /** How long to wait for another process that migrates. @defaultValue "30s" */
  readonly lockTimeout?: Duration;
  /** How long all of it may take. @defaultValue "10m" */
  readonly deadline?: Duration;
}

// Any number, as long as all versions of this library use the same.
const LOCK = 7_235_098_114_001;

/**
 * Applies those `migrations` that this database has not seen, in their order, all in one transaction. Processes
 * that migrate at the same time wait for each other.
 *
 * @returns The names of those that were applied now.
 * @throws StoreUnavailableError with reason `locked` when another process migrates for too long.
 *
 * @example
 * ```ts no-run: needs a PostgreSQL
 * import { Pool } from "pg";
 * import { migrate } from "@holdfast/core/postgres";
 *
 * await migrate(new Pool(), [{ name: "shop:1", statements: ["create table shop (id int primary key)"] }]);
 * ```
 */
export async function migrate(
  client: PgClient,
  migrations: readonly Migration[],
  options: MigrateOptions = {},
): Promise<readonly string[]> {
  const { lockTimeout = "30s", deadline = "10m" } = options;
  const settings = { isolation: "read committed", lockTimeout, deadline } as const;
  try {
    return await transaction(client, (tx) => applyAll(tx, migrations), settings);
  } catch (error) {
    // A commit that was lost says so itself; before it, nothing has happened.
    throw pgFailure(error, false);
  }
}

async function applyAll(tx: PgQueryable, migrations: readonly Migration[]): Promise<readonly string[]> {
  await tx.query("select pg_advisory_xact_lock($1)", [LOCK]);
  await tx.query(
    "create table if not exists holdfast_migrations (name text primary key, applied_at timestamptz not null)",
  );
  const applied: string[] = [];
  for (const { name, statements } of migrations) {
    const { rows } = await tx.query("select 1 from holdfast_migrations where name = $1", [name]);
    if (rows.length > 0) continue;
    for (const statement of statements) await tx.query(statement);
    await tx.query("insert into holdfast_migrations values ($1, clock_timestamp())", [name]);
    applied.push(name);
  }
  return applied;
}
