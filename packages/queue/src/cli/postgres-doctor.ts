// Whether a PostgreSQL is fit for tasks, and whether its tables are.
import { systemClock } from "@holdfast/core";
import type { Migration, PgRunner } from "@holdfast/core/postgres";
import type { Check } from "./doctor.ts";

/** Dead rows beside live ones, above which vacuum does not keep up; little tables do not count. */
const BLOAT = 2;
const MANY_ROWS = 10_000;
/** A transaction that is open for longer keeps vacuum from what has died since. */
const OLD_TRANSACTION_S = 300;
const SKEW_MS = 2_000;

interface ServerRow {
  readonly version: number;
  readonly replica: boolean;
  readonly commit: string;
  readonly fsync: string;
  readonly used: number;
  readonly most: number;
  readonly now: number;
  readonly oldest: number | null;
}

const SERVER = `select current_setting('server_version_num')::int as version, pg_is_in_recovery() as replica,
  current_setting('synchronous_commit') as commit, current_setting('fsync') as fsync,
  (select count(*)::int from pg_stat_activity where backend_type = 'client backend') as used,
  current_setting('max_connections')::int as most,
  (extract(epoch from clock_timestamp()) * 1000)::float8 as now,
  (select max(extract(epoch from clock_timestamp() - xact_start))::float8 from pg_stat_activity
    where backend_type = 'client backend' and pid <> pg_backend_pid()) as oldest`;

const TABLES = `select relname as name, n_live_tup::float8 as live, n_dead_tup::float8 as dead,
  pg_total_relation_size(relid)::float8 as bytes from pg_stat_user_tables where schemaname = $1 order by bytes desc`;

const INVALID_INDEXES = `select c.relname as name from pg_index i join pg_class c on c.oid = i.indexrelid
  join pg_namespace n on n.oid = c.relnamespace where n.nspname = $1 and not i.indisvalid`;

export async function postgresChecks(
  runner: PgRunner,
  schema: string,
  migrations: readonly Migration[],
): Promise<readonly Check[]> {
  const [server, tables, invalid, pending] = await Promise.all([
    runner.query(SERVER, []),
    runner.query(TABLES, [schema]),
    runner.query(INVALID_INDEXES, [schema]),
    pendingMigrations(runner, migrations),
  ]);
  return [
    ...serverChecks(server.rows[0] as unknown as ServerRow),
    pending.length > 0
      ? {
          name: "tables",
          level: "fault",
          text: `${pending.length === 1 ? "one change is" : `${pending.length} changes are`} missing: run migrate`,
        }
      : { name: "tables", level: "ok", text: "up to date" },
    bloatCheck(tables.rows as unknown as readonly TableRow[]),
    invalid.rows.length > 0
      ? {
          name: "indexes",
          level: "fault",
          text: `not valid: ${invalid.rows.map(({ name }) => String(name)).join(", ")}`,
        }
      : { name: "indexes", level: "ok", text: "all valid" },
  ];
}

/** Those that the database has not seen. */
export async function pendingMigrations(
  runner: PgRunner,
  migrations: readonly Migration[],
): Promise<readonly Migration[]> {
  const { rows } = await runner.query("select to_regclass('holdfast_migrations') is not null as there", []);
  if (rows[0]?.["there"] !== true) return migrations;
  const applied = await runner.query("select name from holdfast_migrations", []);
  const names = new Set(applied.rows.map(({ name }) => name));
  return migrations.filter(({ name }) => !names.has(name));
}

function serverChecks(row: ServerRow): readonly Check[] {
  const { version, replica, commit, fsync, used, most, oldest } = row;
  const skew = Math.round(row.now - systemClock.now());
  const major = Math.floor(version / 10_000);
  const isDurable = commit !== "off" && fsync === "on";
  const old = oldest ?? 0;
  return [
    { name: "version", level: major < 13 ? "fault" : "ok", text: `${major}.${version % 10_000}` },
    {
      name: "role",
      level: replica ? "fault" : "ok",
      text: replica ? "a standby, which takes no writes" : "primary",
    },
    {
      name: "persistence",
      level: isDurable ? "ok" : "warning",
      text: `synchronous_commit ${commit}, fsync ${fsync}${isDurable ? "" : ": a crash may lose what was acknowledged"}`,
    },
    {
      name: "connections",
      level: used > most * 0.9 ? "warning" : "ok",
      text: `${used} of ${most}`,
    },
    {
      name: "clock",
      level: Math.abs(skew) > SKEW_MS ? "warning" : "ok",
      text: Math.abs(skew) > SKEW_MS ? `${skew} ms from this machine's` : "as this machine's",
    },
    {
      name: "transactions",
      level: old > OLD_TRANSACTION_S ? "warning" : "ok",
      text:
        old > OLD_TRANSACTION_S ? `one is open for ${Math.round(old)} s: vacuum waits for it` : "none is old",
    },
  ];
}

interface TableRow {
  readonly name: string;
  readonly live: number;
  readonly dead: number;
  readonly bytes: number;
}

function bloatCheck(tables: readonly TableRow[]): Check {
  const name = "bloat";
  const bytes = tables.reduce((sum, table) => sum + table.bytes, 0);
  const bloated = tables.filter(({ live, dead }) => dead > MANY_ROWS && dead > live * BLOAT);
  const size = `${(bytes / 1_048_576).toFixed(1)} MiB in ${tables.length} tables`;
  if (bloated.length === 0) return { name, level: "ok", text: size };
  const worst = bloated.map(
    (table) => `${table.name} has ${table.dead} dead rows beside ${table.live} live ones`,
  );
  return { name, level: "warning", text: `${size}; ${worst.join(", ")}: vacuum does not keep up` };
}
