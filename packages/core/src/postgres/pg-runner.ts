// Statements with a deadline: a call always settles, and a connection that hangs is not left in the pool.
import { ClosedError } from "../errors/errors.ts";
import { optionsOf } from "../options.ts";
import type { StoreCallProgress } from "../stores/store-call.ts";
import { callStore } from "../stores/store-call.ts";
import type { Clock } from "../time/clock.ts";
import type { Duration } from "../time/duration.ts";
import { systemClock } from "../time/system-clock.ts";
import { pgFailure, sqlStateOf } from "./pg-failure.ts";
import type { PgClient, PgConnection, PgPool, PgQueryable, PgResult } from "./queryable.ts";
import { isPool } from "./queryable.ts";

export interface PgRunnerOptions {
  /** Stays open: it is its owner's. */
  readonly client: PgClient;
  /** How long one call may take, waiting for a connection of the pool included. From 1 ms. @defaultValue "2s" */
  readonly deadline?: Duration;
  /** @defaultValue systemClock */
  readonly clock?: Clock;
}

/** What one call can be told. */
export interface PgCallOptions {
  readonly signal?: AbortSignal | undefined;
  /** Runs it on this connection, in whatever transaction that is in. */
  readonly tx?: PgQueryable | undefined;
}

/** Runs single statements. */
export interface PgRunner {
  readonly deadlineMs: number;
  /**
   * Runs one statement. Outside a caller's transaction one that fails with 40001 or 40P01 (`default_transaction_isolation`
   * may be anything) is run again, at most twice.
   *
   * @throws StoreUnavailableError when the server could not be asked or did not answer in time; the error of the
   * client itself when the statement is wrong.
   */
  query(text: string, values: readonly unknown[], options?: PgCallOptions): Promise<PgResult>;
  /** Calls after this are refused. */
  close(): void;
}

/** How long one call to PostgreSQL may take, in milliseconds, unless told otherwise. */
export const PG_DEADLINE_MS = 2_000;

/** For a caller that has been told already. */
const NOTHING: PgResult = { rows: [] };

const CONFLICTS: readonly (string | undefined)[] = ["40001", "40P01"];
const CONFLICT_TRIES = 3;

/**
 * Runs statements on `client` with a deadline. A connection of a pool that did not answer in time is closed, so
 * that the pool can open another one.
 *
 * @throws InvalidOptionError when an option is out of range.
 *
 * @example
 * ```ts no-run: needs a PostgreSQL
 * import { Pool } from "pg";
 * import { pgRunner } from "@holdfast/core/postgres";
 *
 * const postgres = pgRunner({ client: new Pool(), deadline: "500ms" });
 * const { rows } = await postgres.query("select name from users where id = $1", [7]);
 * ```
 */
export function pgRunner(options: PgRunnerOptions): PgRunner {
  const check = optionsOf("pgRunner");
  const client = check.object("client", options.client);
  if (typeof client.query !== "function") check.refuse("client", client, "a pool or client with query()");
  return new Runner(
    client,
    check.duration("deadline", options.deadline, { min: 1 }, PG_DEADLINE_MS),
    options.clock ?? systemClock,
  );
}

class Runner implements PgRunner {
  #closed = false;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly client: PgClient,
    readonly deadlineMs: number,
    private readonly clock: Clock,
  ) {}

  async query(
    text: string,
    values: readonly unknown[],
    { signal, tx }: PgCallOptions = {},
  ): Promise<PgResult> {
    if (this.#closed) throw new ClosedError("a client of postgres");
    const call = { store: "postgres", deadlineMs: this.deadlineMs, clock: this.clock, signal };
    return callStore(call, (progress) => {
      if (tx !== undefined) return queryOn(tx, text, values, progress);
      return this.#again(progress, () =>
        isPool(this.client)
          ? queryPool(this.client, text, values, progress)
          : this.#inTurn(progress, () => queryOn(this.client, text, values, progress)),
      );
    });
  }

  close(): void {
    this.#closed = true;
  }

  // A single client runs one statement at a time. What waits here has not been sent, and is not when it is too late.
  async #inTurn(progress: StoreCallProgress, query: () => Promise<PgResult>): Promise<PgResult> {
    const mine = this.#turn.then(() => (progress.over ? NOTHING : query()));
    this.#turn = mine.catch(() => {});
    return mine;
  }

  async #again(progress: StoreCallProgress, attempt: () => Promise<PgResult>): Promise<PgResult> {
    for (let tries = 1; ; tries += 1) {
      try {
        return await attempt();
      } catch (error) {
        if (tries === CONFLICT_TRIES || progress.over || !CONFLICTS.includes(sqlStateOf(error))) throw error;
      }
    }
  }
}

async function queryOn(
  client: PgQueryable,
  text: string,
  values: readonly unknown[],
  progress: StoreCallProgress,
): Promise<PgResult> {
  progress.sent = true;
  try {
    return await client.query(text, [...values]);
  } catch (error) {
    throw pgFailure(error, true);
  }
}

async function queryPool(
  pool: PgPool,
  text: string,
  values: readonly unknown[],
  progress: StoreCallProgress,
): Promise<PgResult> {
  let connection: PgConnection;
  try {
    connection = await pool.connect();
  } catch (error) {
    throw pgFailure(error, false);
  }
  // It came too late: the caller has been told that nothing was sent.
  if (progress.over) {
    connection.release();
    return NOTHING;
  }
  const held = holdConnection(connection);
  progress.onOver = () => held.release(true);
  try {
    const result = await queryOn(connection, text, values, progress);
    held.release(false);
    return result;
  } catch (error) {
    held.release(endsConnection(error));
    throw error;
  }
}

// After an error of a statement the connection is as good as before; after any other it is of no use.
function endsConnection(error: unknown): boolean {
  const state = sqlStateOf(error);
  return state === undefined || /^(?:08|57P)/.test(state);
}

/** A connection that is given back once, and whose death in our hands is nobody's uncaught exception. */
export function holdConnection(connection: PgConnection): { release(destroy: boolean): void } {
  const ignore = (): void => {};
  connection.on?.("error", ignore);
  let released = false;
  return {
    release: (destroy) => {
      if (released) return;
      released = true;
      // A connection that is closed may still report how it ended.
      if (!destroy) connection.off?.("error", ignore);
      connection.release(destroy);
    },
  };
}
