// Idempotency keys in PostgreSQL: one statement per verb, decided by the server's clock, in the caller's
// transaction when asked.
import type {
  BeginOutcome,
  BeginRequest,
  IdempotencyStore,
  IdempotencyStoreTraits,
  KeyLease,
  KeyRef,
  RecoveryPoint,
  StoreCallOptions,
  StoreWriteOptions,
  WriteOutcome,
} from "../idempotency/store.ts";
import { optionsOf } from "../options.ts";
import { fromStoredText, toStoredText } from "../stores/stored-text.ts";
import type { Clock } from "../time/clock.ts";
import type { Duration } from "../time/duration.ts";
import { idempotencyMigrations } from "./idempotency-schema.ts";
import type { Migration } from "./migrate.ts";
import { migrate } from "./migrate.ts";
import { PG_DEADLINE_MS, pgRunner } from "./pg-runner.ts";
import type { PgCallOptions, PgRunner } from "./pg-runner.ts";
import type { PgClient, PgQueryable } from "./queryable.ts";
import type { TableName } from "./table-name.ts";
import { tableName } from "./table-name.ts";

export interface PostgresIdempotencyStoreOptions {
  /**
   * A pool of `pg`, best; or a client, a `PGlite`, `fromPostgresJs(sql)`. Stays open: it is its owner's, who also
   * gives a pool an `error` listener, without which the end of an idle connection ends the process.
   */
  readonly client: PgClient;
  /** `table` or `schema.table`, in lower case. @defaultValue "holdfast_idempotency" */
  readonly table?: string;
  /** How long one call may take, waits for a connection and for locks included. From 1 ms. @defaultValue "2s" */
  readonly deadline?: Duration;
  /**
   * Removes keys whose time is over, in the background, once in so many `begin`s; 0 leaves it to
   * {@link PostgresIdempotencyStore.deleteExpired}. 0 to 1,000. @defaultValue 500
   */
  readonly sweepEvery?: number;
  /** For the deadline only: keys go by the server's clock. @defaultValue systemClock */
  readonly clock?: Clock;
}

/** Keeps idempotency keys in a table. Writes with `tx` happen if, and only if, that transaction commits. */
export interface PostgresIdempotencyStore extends IdempotencyStore<PgQueryable> {
  /** Creates the table and what belongs to it, or does nothing; safe in several processes at once. */
  migrate(): Promise<void>;
  /** Removes up to 1,000 keys whose time is over. @returns How many. */
  deleteExpired(options?: StoreCallOptions): Promise<number>;
}

/** The defaults of `postgresIdempotencyStore`. */
export const POSTGRES_IDEMPOTENCY_DEFAULTS: {
  readonly table: string;
  readonly deadlineMs: number;
  readonly sweepEvery: number;
} = { table: "holdfast_idempotency", deadlineMs: PG_DEADLINE_MS, sweepEvery: 500 };

/** Most rows removed by one statement: twice as many as can have been added since the last sweep. */
const SWEEP_ROWS = 1_000;

/**
 * Keeps idempotency keys in PostgreSQL 13 or later, or PGlite. Call `migrate()` once before, or apply
 * {@link postgresIdempotencyMigrations} with your own tool.
 *
 * A write with `tx` from a "repeatable read" transaction that began before the key did is `lost`: it cannot see it.
 *
 * @throws InvalidOptionError when an option is out of range.
 *
 * @example
 * ```ts no-run: needs a PostgreSQL
 * import { Pool } from "pg";
 * import { idempotency } from "@holdfast/core";
 * import { postgresIdempotencyStore } from "@holdfast/core/postgres";
 *
 * const store = postgresIdempotencyStore({ client: new Pool() });
 * await store.migrate();
 * const payments = idempotency({ store, scope: "payments" });
 * ```
 */
export function postgresIdempotencyStore(options: PostgresIdempotencyStoreOptions): PostgresIdempotencyStore {
  const check = optionsOf("postgresIdempotencyStore");
  const { table, sweepEvery } = POSTGRES_IDEMPOTENCY_DEFAULTS;
  return new TableStore(
    pgRunner(options),
    options.client,
    tableName("postgresIdempotencyStore", options.table, table),
    check.integer("sweepEvery", options.sweepEvery, { min: 0, max: SWEEP_ROWS }, sweepEvery),
  );
}

/**
 * The schema of {@link postgresIdempotencyStore}, for those who migrate with a tool of their own.
 *
 * @throws InvalidOptionError when `table` is not a name.
 */
export function postgresIdempotencyMigrations(
  table: string = POSTGRES_IDEMPOTENCY_DEFAULTS.table,
): readonly Migration[] {
  return idempotencyMigrations(tableName("postgresIdempotencyMigrations", table, table));
}

class TableStore implements PostgresIdempotencyStore {
  readonly traits: IdempotencyStoreTraits = {
    shared: true,
    clock: "server",
    durability: "server",
    transactional: true,
  };
  #sinceSweep = 0;
  #sweeping: Promise<unknown> | undefined;

  constructor(
    private readonly runner: PgRunner,
    private readonly client: PgClient,
    private readonly table: TableName,
    private readonly sweepEvery: number,
  ) {}

  async migrate(): Promise<void> {
    await migrate(this.client, idempotencyMigrations(this.table));
  }

  async begin(request: BeginRequest, options?: StoreCallOptions): Promise<BeginOutcome> {
    const { fingerprint, owner, lockTtlMs, ttlMs, takeDoubtful } = request;
    const texts = [toStoredText(fingerprint), toStoredText(owner)];
    const row = await this.#call(
      request,
      options,
      "begin",
      ...texts,
      whole(lockTtlMs),
      whole(ttlMs),
      takeDoubtful,
    );
    this.#sweepNowAndThen();
    return beginOutcomeOf(row);
  }

  renew(lease: KeyLease, lockTtlMs: number, options?: StoreCallOptions): Promise<WriteOutcome> {
    return this.#write(lease, options, "renew", whole(lockTtlMs));
  }

  checkpoint(
    lease: KeyLease,
    { name, data }: RecoveryPoint,
    lockTtlMs: number,
    options?: StoreWriteOptions<PgQueryable>,
  ): Promise<WriteOutcome> {
    return this.#write(
      lease,
      options,
      "checkpoint",
      whole(lockTtlMs),
      toStoredText(name),
      toStoredText(data),
    );
  }

  complete(
    lease: KeyLease,
    result: string,
    ttlMs: number,
    options?: StoreWriteOptions<PgQueryable>,
  ): Promise<WriteOutcome> {
    return this.#write(lease, options, "complete", whole(ttlMs), toStoredText(result));
  }

  fail(lease: KeyLease, retryable: boolean, options?: StoreCallOptions): Promise<WriteOutcome> {
    return this.#write(lease, options, "fail", retryable);
  }

  async release(ref: KeyRef, owner: string, options?: StoreCallOptions): Promise<void> {
    await this.#call(ref, options, "release", toStoredText(owner));
  }

  async deleteExpired(options?: StoreCallOptions): Promise<number> {
    const { quoted } = this.table;
    const { rows } = await this.runner.query(
      `with over as (
         select scope, key from ${quoted}
         where expires_at <= clock_timestamp() and not (state = 'held' and locked_until > clock_timestamp())
         order by expires_at limit ${SWEEP_ROWS} for update skip locked
       ), gone as (
         delete from ${quoted} t using over where t.scope = over.scope and t.key = over.key returning 1
       )
       select count(*) as gone from gone`,
      [],
      options,
    );
    return Number(rows[0]?.["gone"] ?? 0);
  }

  async close(): Promise<void> {
    this.runner.close();
    await this.#sweeping;
  }

  async #write(
    lease: KeyLease,
    options: StoreWriteOptions<PgQueryable> | undefined,
    verb: string,
    ...words: readonly unknown[]
  ): Promise<WriteOutcome> {
    const row = await this.#call(lease, options, verb, lease.fence, ...words);
    return row["answer"] as WriteOutcome;
  }

  async #call(
    { scope, key }: KeyRef,
    options: PgCallOptions | undefined,
    verb: string,
    ...words: readonly unknown[]
  ): Promise<Readonly<Record<string, unknown>>> {
    // Less than the deadline, so that the server's word on a lock comes before we give up on the server.
    const waitMs = Math.min(Math.max(1, Math.floor(this.runner.deadlineMs / 2)), MAX_WAIT_MS);
    const values = [toStoredText(scope), toStoredText(key), ...words, waitMs];
    const places = values.map((_, index) => `$${index + 1}`).join(", ");
    const text = `select * from ${this.table.beside(verb)}(${places})`;
    const { rows } = await this.runner.query(text, values, options);
    return rows[0] ?? {};
  }

  #sweepNowAndThen(): void {
    this.#sinceSweep += 1;
    if (this.sweepEvery === 0 || this.#sinceSweep < this.sweepEvery || this.#sweeping !== undefined) return;
    this.#sinceSweep = 0;
    this.#sweeping = this.deleteExpired()
      // The next one removes what this one did not.
      .catch(() => 0)
      .finally(() => {
        this.#sweeping = undefined;
      });
  }
}

/** Durations are given in whole milliseconds; any other is made longer, not refused by the server. */
const whole = Math.ceil;

/** Longest wait for a row that somebody else is writing, in milliseconds. */
const MAX_WAIT_MS = 1_000;

function beginOutcomeOf(row: Readonly<Record<string, unknown>>): BeginOutcome {
  const kind = row["kind"] as BeginOutcome["kind"];
  const fence = Number(row["its_fence"]);
  switch (kind) {
    case "acquired":
      return { kind, fence, doubt: row["in_doubt"] === true, ...pointOf(row) };
    case "inFlight":
      return { kind, retryAfterMs: Number(row["retry_after_ms"]) };
    case "replay":
      return { kind, result: fromStoredText(row["its_result"] as string) };
    case "inDoubt":
      return { kind, fence };
    case "mismatch":
      return { kind };
  }
}

function pointOf(row: Readonly<Record<string, unknown>>): { readonly point?: RecoveryPoint } {
  const name = row["its_point"];
  const data = row["its_data"];
  if (typeof name !== "string" || typeof data !== "string") return {};
  return { point: { name: fromStoredText(name), data: fromStoredText(data) } };
}
