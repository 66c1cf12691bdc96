// Transactions: begun, ended and, only when asked for, run again.
import { asError, ClosedError } from "../errors/errors.ts";
import { optionsOf } from "../options.ts";
import type { StoreCallProgress } from "../stores/store-call.ts";
import { callStore } from "../stores/store-call.ts";
import type { Clock } from "../time/clock.ts";
import type { Duration } from "../time/duration.ts";
import { systemClock } from "../time/system-clock.ts";
import { pgFailure, sqlStateOf } from "./pg-failure.ts";
import { holdConnection } from "./pg-runner.ts";
import type { PgClient, PgQueryable } from "./queryable.ts";
import { isPool } from "./queryable.ts";

export interface TransactionOptions {
  /**
   * How often it is run again, from the start, after a serialization failure or a deadlock (SQLSTATE 40001, 40P01).
   * 0 to 100. @defaultValue 0: what `work` did outside the database would be done twice
   */
  readonly retries?: number;
  /** @defaultValue the server's, usually "read committed" */
  readonly isolation?: "read committed" | "repeatable read" | "serializable";
  /** `statement_timeout` of each statement, from 1 ms; rounded up to whole ones. @defaultValue the server's */
  readonly statementTimeout?: Duration;
  /** `lock_timeout` of each wait for a lock, from 1 ms; rounded up to whole ones. @defaultValue the server's */
  readonly lockTimeout?: Duration;
  /** Rolls back instead of committing, if it aborts before the commit is sent. `work` is waited for all the same. */
  readonly signal?: AbortSignal;
  /**
   * How long one run may take, waits for a connection and for a server that hangs included; a connection of a pool
   * is closed then, which rolls back. From 1 ms. @defaultValue "1m"
   */
  readonly deadline?: Duration;
  /** @defaultValue systemClock */
  readonly clock?: Clock;
}

/** What a PGlite has. */
interface OwnTransactions {
  transaction<T>(work: (tx: PgQueryable) => Promise<T>): Promise<T>;
}

/** How long one run of a transaction may take, in milliseconds, unless told otherwise. */
const TRANSACTION_DEADLINE_MS = 60_000;

const RETRYABLE: readonly (string | undefined)[] = ["40001", "40P01"];

/**
 * Runs `work` in a transaction: committed when it resolves, rolled back when it throws. A pool's connection is
 * taken for it and given back afterwards; a single client must not be in a transaction already.
 *
 * @throws Whatever `work` throws; the signal's reason; StoreUnavailableError, whose outcome is `unknown` when only
 * the reply to the commit is missing.
 *
 * @example
 * ```ts no-run: needs a PostgreSQL
 * import { Pool } from "pg";
 * import { transaction } from "@holdfast/core/postgres";
 *
 * const pool = new Pool();
 * await transaction(pool, (tx) => tx.query("update stock set left = left - 1 where item = $1", ["book"]));
 * ```
 */
export async function transaction<T>(
  client: PgClient,
  work: (tx: PgQueryable) => Promise<T>,
  options: TransactionOptions = {},
): Promise<T> {
  const check = optionsOf("transaction");
  const deadlineMs = check.duration("deadline", options.deadline, { min: 1 }, TRANSACTION_DEADLINE_MS);
  const clock = options.clock ?? systemClock;
  const retries = check.integer("retries", options.retries, { min: 0, max: 100 }, 0);
  const settings = settingsOf(options);
  for (let left = retries; ; left -= 1) {
    try {
      options.signal?.throwIfAborted();
      const call = { store: "postgres", deadlineMs, clock, signal: undefined };
      return await callStore(call, (progress) => once(client, work, settings, options.signal, progress));
    } catch (error) {
      if (left === 0 || !RETRYABLE.includes(sqlStateOf(error))) throw error;
    }
  }
}

function settingsOf({ isolation, statementTimeout, lockTimeout }: TransactionOptions): readonly string[] {
  const check = optionsOf("transaction");
  const levels = ["read committed", "repeatable read", "serializable"] as const;
  const settings: string[] = [];
  if (isolation !== undefined)
    settings.push(`set transaction isolation level ${check.oneOf("isolation", isolation, levels)}`);
  const limit = (setting: string, option: string, value: Duration | undefined): void => {
    if (value === undefined) return;
    const ms = Math.ceil(check.duration(option, value, { min: 1, max: 2 ** 31 - 1 }));
    settings.push(`set local ${setting} = ${ms}`);
  };
  limit("statement_timeout", "statementTimeout", statementTimeout);
  limit("lock_timeout", "lockTimeout", lockTimeout);
  return settings;
}

async function once<T>(
  client: PgClient,
  work: (tx: PgQueryable) => Promise<T>,
  settings: readonly string[],
  signal: AbortSignal | undefined,
  progress: StoreCallProgress,
): Promise<T> {
  const run = async (tx: PgQueryable): Promise<T> => {
    for (const setting of settings) await tx.query(setting);
    const value = await work(tx);
    signal?.throwIfAborted();
    if (progress.over) throw new ClosedError("a transaction");
    // From here on it is the commit that counts.
    progress.sent = true;
    return value;
  };
  if (ownsTransactions(client)) return client.transaction(run);
  if (!isPool(client)) return (await between(client, run)).unwrap();
  const connection = await client.connect().catch((error: unknown) => {
    throw pgFailure(error, false);
  });
  // It came too late: the caller has been told.
  if (progress.over) {
    connection.release();
    throw new ClosedError("a transaction");
  }
  const held = holdConnection(connection);
  progress.onOver = () => held.release(true);
  const { usable, unwrap } = await between(connection, run);
  held.release(!usable);
  return unwrap();
}

interface Ended<T> {
  /** Whether the connection is out of the transaction for sure. */
  readonly usable: boolean;
  readonly unwrap: () => T;
}

async function between<T>(tx: PgQueryable, run: (tx: PgQueryable) => Promise<T>): Promise<Ended<T>> {
  let committing = false;
  try {
    await tx.query("begin");
    const value = await run(tx);
    committing = true;
    await tx.query("commit");
    return { usable: true, unwrap: () => value };
  } catch (thrown) {
    const rolledBack = await tx.query("rollback").then(
      () => true,
      () => false,
    );
    const error = committing ? pgFailure(thrown, true) : asError(thrown);
    return {
      usable: rolledBack,
      unwrap: () => {
        throw error;
      },
    };
  }
}

function ownsTransactions(client: object): client is OwnTransactions {
  return "transaction" in client && typeof client.transaction === "function";
}
