// A write log in PostgreSQL: one statement per verb, decided by the server's clock.
import type { Clock, Duration } from "@holdfast/core";
import { optionsOf } from "@holdfast/core";
import type { Migration, PgClient, PgResult, PgRunner, TableName } from "@holdfast/core/postgres";
import { migrate, pgRunner, tableName } from "@holdfast/core/postgres";
import type {
  AppendOutcome,
  AppendRequest,
  Claimed,
  ClaimRef,
  ClaimRequest,
  DeadEntry,
  SettleOutcome,
  Settlement,
  StoreCallOptions,
  WriteLog,
  WriteLogStats,
  WriteLogTraits,
} from "../log.ts";
import { writeLogMigrations } from "./schema.ts";

export interface PostgresWriteLogOptions {
  /**
   * A pool of `pg`, best; or a client, a `PGlite`, `fromPostgresJs(sql)`. Stays open: it is its owner's, who also gives a
   * pool an `error` listener, without which the end of an idle connection ends the process.
   */
  readonly client: PgClient;
  /** Whose writes are in it: processes with the same name share it. 1 to 255 characters. */
  readonly name: string;
  /** `table` or `schema.table`, in lower case; logs of different names may share one. @defaultValue "holdfast_write_log" */
  readonly table?: string;
  /** How long one call may take, waits for a connection and for locks included. From 1 ms. @defaultValue "2s" */
  readonly deadline?: Duration;
  /** For the deadline only: delays and leases go by the server's clock. @defaultValue systemClock */
  readonly clock?: Clock;
}

/** A write log in a table. */
export interface PostgresWriteLog extends WriteLog {
  /** Creates the table and what belongs to it, or does nothing; safe in several processes at once. */
  migrate(): Promise<void>;
}

/** The defaults of `postgresWriteLog`. */
export const POSTGRES_WRITE_LOG_DEFAULTS: { readonly table: string } = { table: "holdfast_write_log" };

/** Longest wait for a row that somebody else is writing, in milliseconds. */
const MAX_WAIT_MS = 1_000;

/**
 * Keeps writes in PostgreSQL 13 or later, or PGlite, for any number of processes. Call `migrate()` once before, or apply
 * {@link postgresWriteLogMigrations} with your own tool.
 *
 * Its loss window is the server's: none with `synchronous_commit` on, its default; about three times `wal_writer_delay`,
 * 600 ms, with it off, when the server is killed; a failover to a standby that is not synchronous loses what that did not
 * have yet. The bound of keys may be passed by as many as are written by others at the same instant.
 *
 * @throws InvalidOptionError when an option is out of range.
 *
 * @example
 * ```ts no-run: needs a PostgreSQL
 * import { Pool } from "pg";
 * import { writeBehind } from "@holdfast/cache";
 * import { postgresWriteLog } from "@holdfast/cache/postgres";
 *
 * const log = postgresWriteLog({ client: new Pool(), name: "stock" });
 * await log.migrate();
 * const behind = writeBehind({ log, write: async (id: string, stock: number) => console.log(id, stock) });
 * ```
 */
export function postgresWriteLog(options: PostgresWriteLogOptions): PostgresWriteLog {
  const owner = "postgresWriteLog";
  return new TableLog(
    pgRunner(options),
    options.client,
    tableName(owner, options.table, POSTGRES_WRITE_LOG_DEFAULTS.table),
    optionsOf(owner).string("name", options.name),
  );
}

/**
 * The schema of {@link postgresWriteLog}, for those who migrate with a tool of their own.
 *
 * @throws InvalidOptionError when `table` is not a name.
 */
export function postgresWriteLogMigrations(
  table: string = POSTGRES_WRITE_LOG_DEFAULTS.table,
): readonly Migration[] {
  return writeLogMigrations(tableName("postgresWriteLogMigrations", table, table));
}

type Row = Readonly<Record<string, unknown>>;

class TableLog implements PostgresWriteLog {
  readonly traits: WriteLogTraits = { shared: true, clock: "server", durability: "server" };
  readonly #waitMs: number;

  constructor(
    private readonly runner: PgRunner,
    private readonly client: PgClient,
    private readonly table: TableName,
    private readonly name: string,
  ) {
    // A wait for a lock ends before the call does, so that what is refused has changed nothing.
    this.#waitMs = Math.max(1, Math.min(MAX_WAIT_MS, Math.floor(runner.deadlineMs / 2)));
  }

  async migrate(): Promise<void> {
    await migrate(this.client, writeLogMigrations(this.table));
  }

  async append(
    { key, value, delayMs, maxKeys }: AppendRequest,
    options?: StoreCallOptions,
  ): Promise<AppendOutcome> {
    const { rows } = await this.#call("append", [key, value, delayMs, maxKeys, this.#waitMs], options);
    const [row = {}] = rows;
    const version = row["its_version"];
    if (version === null || version === undefined) return { kind: "full", keys: Number(row["keys"]) };
    return { kind: "appended", version: Number(version) };
  }

  async read(key: string, options?: StoreCallOptions): Promise<string | undefined> {
    const { quoted, beside } = this.table;
    const rows = await this.#query(
      `select value from ${quoted} where log = $1 and digest = ${beside("digest")}($2) and state <> 'dead'`,
      [key],
      options,
    );
    return rows[0]?.["value"] as string | undefined;
  }

  async claim({ limit, leaseMs, early }: ClaimRequest, options?: StoreCallOptions): Promise<Claimed> {
    const { rows } = await this.#call("claim", [limit, leaseMs, early], options);
    const claims = rows.map((row) => ({
      key: row["key"] as string,
      value: row["value"] as string,
      version: Number(row["version"]),
      fence: Number(row["fence"]),
      attempt: Number(row["attempts"]),
    }));
    // Whoever got as many as were asked for asks again anyway.
    if (claims.length >= limit) return { claims, nextInMs: 0 };
    // The claims are made: they are not to be lost because what comes next could not be asked.
    const nextInMs = await this.#nextInMs(options).catch(() => 0);
    return nextInMs === undefined ? { claims } : { claims, nextInMs };
  }

  async renew(
    claims: readonly ClaimRef[],
    leaseMs: number,
    options?: StoreCallOptions,
  ): Promise<readonly SettleOutcome[]> {
    if (claims.length === 0) return [];
    const refs = JSON.stringify(claims.map(({ key, fence }) => ({ key, fence })));
    const { rows } = await this.#call("renew", [leaseMs, refs, this.#waitMs], options);
    return rows.map((row) => row["renew"] as SettleOutcome);
  }

  async settle(
    settlements: readonly Settlement[],
    options?: StoreCallOptions,
  ): Promise<readonly SettleOutcome[]> {
    if (settlements.length === 0) return [];
    const { rows } = await this.#call("settle", [JSON.stringify(settlements), this.#waitMs], options);
    return rows.map((row) => row["settle"] as SettleOutcome);
  }

  async stats(options?: StoreCallOptions): Promise<WriteLogStats> {
    const { quoted, beside } = this.table;
    const [row = {}] = await this.#query(
      `select count(*) filter (where state <> 'dead') as pending, count(*) filter (where state = 'dead') as dead,
         min(since) filter (where state <> 'dead') as oldest, (select last_value from ${beside("numbers")}) as latest
       from ${quoted} where log = $1`,
      [],
      options,
    );
    const stats = {
      pending: Number(row["pending"]),
      dead: Number(row["dead"]),
      latest: Number(row["latest"]),
    };
    return row["oldest"] === null ? stats : { ...stats, oldest: Number(row["oldest"]) };
  }

  async deadEntries(
    limit: number,
    offset: number,
    options?: StoreCallOptions,
  ): Promise<readonly DeadEntry[]> {
    const rows = await this.#query(
      `select key, value, version, attempts, error, extract(epoch from died_at) * 1000 as died_at
       from ${this.table.quoted} where log = $1 and state = 'dead' order by died_at, digest limit $2 offset $3`,
      [limit, offset],
      options,
    );
    return rows.map((row) => ({
      key: row["key"] as string,
      value: row["value"] as string,
      version: Number(row["version"]),
      attempts: Number(row["attempts"]),
      error: row["error"] as string,
      diedAtMs: Math.floor(Number(row["died_at"])),
    }));
  }

  async redrive(keys?: readonly string[], options?: StoreCallOptions): Promise<number> {
    const { rows } = await this.#call("redrive", [keys ?? null, this.#waitMs], options);
    return Number(rows[0]?.["redrive"] ?? 0);
  }

  async discard(keys: readonly string[], options?: StoreCallOptions): Promise<number> {
    const { quoted, beside } = this.table;
    const [row] = await this.#query(
      `with gone as (
         delete from ${quoted} where log = $1 and state = 'dead'
           and digest in (select ${beside("digest")}(k) from unnest($2::text[]) k)
         returning 1
       )
       select count(*) as gone from gone`,
      [keys],
      options,
    );
    return Number(row?.["gone"] ?? 0);
  }

  async close(): Promise<void> {
    this.runner.close();
  }

  async #nextInMs(options: StoreCallOptions | undefined): Promise<number | undefined> {
    const [row] = await this.#query(
      `select ceil(extract(epoch from min(due_at) - clock_timestamp()) * 1000) as wait
       from ${this.table.quoted} where log = $1 and state <> 'dead'`,
      [],
      options,
    );
    const wait = row?.["wait"];
    return wait === null || wait === undefined ? undefined : Math.max(0, Number(wait));
  }

  async #query(
    text: string,
    values: readonly unknown[],
    options: StoreCallOptions | undefined,
  ): Promise<readonly Row[]> {
    const { rows } = await this.runner.query(text, [this.name, ...values], options);
    return rows;
  }

  #call(verb: string, values: readonly unknown[], options: StoreCallOptions | undefined): Promise<PgResult> {
    const places = values.map((_, index) => `$${index + 2}`);
    const called = `${this.table.beside(verb)}(${["$1", ...places].join(", ")})`;
    // A function that answers with one column is named by us, since its own name is the table's.
    const text =
      verb === "append" || verb === "claim"
        ? `select * from ${called}`
        : `select answer as ${verb} from ${called} as answer`;
    return this.runner.query(text, [this.name, ...values], options);
  }
}
