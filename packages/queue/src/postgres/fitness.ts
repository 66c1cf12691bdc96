// Whether a server is fit for tasks, and its schema the one that this version knows.
import type { Migration, PgClient, PgRunner } from "@holdfast/core/postgres";
import { migrate } from "@holdfast/core/postgres";
import { StoreUnfitError } from "../store/store-unfit-error.ts";

/** The oldest version of PostgreSQL, as it numbers itself. */
const OLDEST = 130_000;

/**
 * @throws StoreUnfitError when the server is too old, takes no writes, or isolates transactions so that they conflict all the
 * time.
 */
export async function assertServerFit(runner: PgRunner): Promise<void> {
  const { rows } = await runner.query(
    `select current_setting('server_version_num')::int as version, pg_is_in_recovery() as is_replica,
       current_setting('transaction_read_only') = 'on' as is_read_only,
       current_setting('transaction_isolation') as isolation`,
    [],
  );
  const { version, is_replica, is_read_only, isolation } = rows[0] ?? {};
  const reasons: string[] = [];
  if (Number(version) < OLDEST) reasons.push(`It is version ${majorOf(Number(version))}, older than 13.`);
  if (is_replica === true) reasons.push("It is a replica, which takes no writes.");
  else if (is_read_only === true)
    reasons.push("Its default_transaction_read_only is on, so that it takes no writes.");
  if (isolation !== "read committed")
    reasons.push(
      `Its default_transaction_isolation is ${String(isolation)}, under which calls on one queue conflict; set it to read committed.`,
    );
  if (reasons.length > 0) throw new StoreUnfitError("postgres", reasons);
}

/**
 * Brings the schema up to date, or sees that it is when nothing may be changed.
 *
 * @throws StoreUnfitError when it is newer than all that is known here, or older and nothing may be changed.
 */
export async function assertSchemaFit(
  runner: PgRunner,
  client: PgClient,
  schema: string,
  migrations: readonly Migration[],
  mayMigrate: boolean,
): Promise<void> {
  const applied = await appliedMigrations(runner, schema);
  const known = new Set(migrations.map(({ name }) => name));
  const newer = applied.filter((name) => !known.has(name));
  if (newer.length > 0)
    throw new StoreUnfitError("postgres", [
      `Its schema ${schema} is newer than this version of @holdfast/queue, which does not know ${newer.join(", ")}.`,
    ]);
  const missing = migrations.filter(({ name }) => !applied.includes(name));
  if (missing.length === 0) return;
  if (!mayMigrate)
    throw new StoreUnfitError("postgres", [
      `Its schema ${schema} lacks ${missing.map(({ name }) => name).join(", ")}: run \`holdfast-queue migrate\`, or call migrate().`,
    ]);
  await migrate(client, migrations);
}

async function appliedMigrations(runner: PgRunner, schema: string): Promise<readonly string[]> {
  const { rows } = await runner.query(
    "select to_regclass('holdfast_migrations') is not null as is_there",
    [],
  );
  if (rows[0]?.["is_there"] !== true) return [];
  const found = await runner.query(
    "select name from holdfast_migrations where starts_with(name, $1) order by name",
    [`queue:${schema}:`],
  );
  return found.rows.map((row) => row["name"] as string);
}

function majorOf(version: number): number {
  return Math.floor(version / 10_000);
}
