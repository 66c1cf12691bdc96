// Tasks in PostgreSQL: every verb is a function in the database, and all that is asked in one tick is one statement.
import type { Clock, Duration } from "@holdfast/core";
import { ClosedError, optionsOf, systemClock } from "@holdfast/core";
import type {
  Migration,
  PgClient,
  PgListener,
  PgListeningClient,
  PgQueryable,
} from "@holdfast/core/postgres";
import { fromStoredText, migrate, pgListener, pgRunner, toStoredText } from "@holdfast/core/postgres";
import { Lines } from "../store/lines.ts";
import { onceWell } from "../store/once-well.ts";
import type {
  ClaimedTask,
  ClaimRequest,
  QueueStore,
  RevokedLease,
  Settlement,
  WriteOutcome,
} from "../store/store.ts";
import { assertSchemaFit, assertServerFit } from "./fitness.ts";
import { listeningBeside } from "./listening.ts";
import { PostgresQueues } from "./postgres-queues.ts";
import type { LineSettings } from "./queue-line.ts";
import { QueueLine } from "./queue-line.ts";
import { SCHEMA, schemaName, taskMigrations } from "./schema.ts";
import { toStoredPayload } from "./stored-task.ts";
import { writeOutcome } from "./words.ts";

export interface PostgresTaskStoreOptions {
  /**
   * A pool of `pg`, best; or a client, a `PGlite`, `fromPostgresJs(sql)`. Stays open: it is its owner's, who also gives a
   * pool an `error` listener, without which the end of an idle connection ends the process.
   */
  readonly client: PgClient;
  /** 1 to 40 lower-case letters, digits and underscores; also the channel of its wake-ups. @defaultValue "holdfast_queue" */
  readonly schema?: string;
  /** Whether the first call brings the schema up to date; else {@link PostgresTaskStore.migrate} must have. @defaultValue true */
  readonly migrate?: boolean;
  /** How long one call may take, waits for a connection and for locks included. From 1 ms. @defaultValue "2s" */
  readonly deadline?: Duration;
  /**
   * How often those who wait look for themselves, in case a wake-up was lost; without a connection that listens the only
   * way they hear of anything. From 10 ms. @defaultValue "5s"
   */
  readonly poll?: Duration;
  /**
   * Opens a connection of the store's own that hears of wake-ups, once somebody waits: not one of a pool, nor through a
   * pooler in transaction mode. `false`: poll only. @defaultValue one like those of the pool of `pg`; a `PGlite` itself
   */
  readonly listen?: false | (() => Promise<PgListeningClient>);
  /**
   * Completed and cancelled tasks kept in each queue; beyond it those go early that would go next, up to a hundredth of
   * this at a time. @defaultValue 100_000
   */
  readonly maxEnded?: number;
  /** Failed tasks kept in each queue; beyond it the oldest go early. @defaultValue 100_000 */
  readonly maxDeadLetters?: number;
  /** Events kept for each task; beyond it the oldest go. From 10. @defaultValue 200 */
  readonly maxEvents?: number;
  /** For the poll: tasks go by the server's clock. @defaultValue systemClock */
  readonly clock?: Clock;
}

/** Tasks in a schema of PostgreSQL. */
export interface PostgresTaskStore extends QueueStore {
  /** Creates the schema or brings it up to date, or does nothing; safe in several processes at once. */
  migrate(): Promise<void>;
  /**
   * A view of the store whose calls run on `tx`, in the transaction that is open there: what is enqueued is there if, and
   * only if, that commits, and wakes workers then. Its waits are those of the store. Adding and completing take no lock
   * that others wait for, but for an ID or dedup key that two add at a time; any other call holds its queue until the
   * transaction ends.
   *
   * @example
   * ```ts no-run: needs a PostgreSQL
   * import { Pool } from "pg";
   * import { transaction } from "@holdfast/core/postgres";
   * import { defineTask, queue } from "@holdfast/queue";
   * import { postgresTaskStore } from "@holdfast/queue/postgres";
   *
   * const pool = new Pool();
   * const store = postgresTaskStore({ client: pool });
   * const sendMail = defineTask<{ to: string }>({ name: "send-mail" });
   * await transaction(pool, async (tx) => {
   *   await tx.query("insert into users (mail) values ($1)", ["ada@example.org"]);
   *   await queue({ name: "mails", store: store.within(tx) }).enqueue(sendMail, { to: "ada@example.org" });
   * });
   * ```
   */
  within(tx: PgQueryable): QueueStore;
}

/** The defaults of `postgresTaskStore`. */
export const POSTGRES_TASK_STORE_DEFAULTS: {
  readonly schema: string;
  readonly deadlineMs: number;
  readonly pollMs: number;
  readonly maxEnded: number;
  readonly maxDeadLetters: number;
  readonly maxEvents: number;
} = {
  schema: SCHEMA,
  deadlineMs: 2_000,
  pollMs: 5_000,
  maxEnded: 100_000,
  maxDeadLetters: 100_000,
  maxEvents: 200,
};

/**
 * Keeps tasks in PostgreSQL 13 or later, or PGlite, for any number of processes. What is asked in one tick is one
 * statement and one transaction; so is completing tasks and claiming the next. Calls on one queue take turns.
 *
 * Acknowledged means that PostgreSQL has committed it. With `synchronous_commit` on, its default, that survives a crash of the
 * server; with it off, what was acknowledged in the last 600 ms or so (three times `wal_writer_delay`) may be lost; a failover
 * to a standby loses what that did not have yet, unless it is in `synchronous_standby_names`. A PGlite in memory ends with
 * its process. A server that is a replica, read-only, older than 13, or whose `default_transaction_isolation` is not "read
 * committed" is refused at the first call, and so is a schema that is newer than this version.
 *
 * @throws InvalidOptionError when an option is out of range. Calls reject with a {@link StoreUnfitError} when the server is
 * not fit, and with `STORE_UNAVAILABLE` when it could not be asked.
 *
 * @example
 * ```ts no-run: needs a PostgreSQL
 * import { Pool } from "pg";
 * import { queue } from "@holdfast/queue";
 * import { postgresTaskStore } from "@holdfast/queue/postgres";
 *
 * const pool = new Pool({ connectionString: "postgres://localhost/app" });
 * pool.on("error", (error) => console.error(error));
 * const images = queue({ name: "images", store: postgresTaskStore({ client: pool }) });
 * ```
 */
export function postgresTaskStore(options: PostgresTaskStoreOptions): PostgresTaskStore {
  const owner = "postgresTaskStore";
  const check = optionsOf(owner);
  const defaults = POSTGRES_TASK_STORE_DEFAULTS;
  const schema = schemaName(owner, options.schema);
  // The deadline runs on real time, as the server does.
  const runner = pgRunner({ client: options.client, deadline: options.deadline ?? defaults.deadlineMs });
  const pollMs = check.duration("poll", options.poll, { min: 10 }, defaults.pollMs);
  const mayMigrate = check.boolean("migrate", options.migrate, true);
  const integer = (name: "maxEnded" | "maxDeadLetters" | "maxEvents", min: number): number =>
    check.integer(name, options[name], { min, max: 1e9 }, defaults[name]);
  const migrations = taskMigrations(schema);
  const isInThread = "onNotification" in options.client;
  const settings: LineSettings = {
    runner,
    schema,
    ready: onceWell(async () => {
      await assertServerFit(runner);
      await assertSchemaFit(runner, options.client, schema, migrations, mayMigrate);
    }),
    listener: listenerOf(options, pollMs),
    clock: options.clock ?? systemClock,
    pollMs,
    // A PGlite has no connections.
    keepsAlive: !isInThread,
    isInThread,
    bounds: {
      maxEnded: integer("maxEnded", 1),
      maxDeadLetters: integer("maxDeadLetters", 1),
      maxEvents: integer("maxEvents", 10),
    },
  };
  return new OwnStore(settings, async () => void (await migrate(options.client, migrations)));
}

/**
 * The schema of {@link postgresTaskStore}, for those who migrate with a tool of their own. They note the names in the
 * table `holdfast_migrations (name text primary key, applied_at timestamptz not null)`.
 *
 * @throws InvalidOptionError when `schema` is not a name.
 */
export function postgresTaskMigrations(schema: string = SCHEMA): readonly Migration[] {
  return taskMigrations(schemaName("postgresTaskMigrations", schema));
}

function listenerOf(options: PostgresTaskStoreOptions, pollMs: number): PgListener | undefined {
  const { client, listen } = options;
  if (listen === false) return undefined;
  const connect = optionsOf("postgresTaskStore").function("listen", listen) ?? listeningBeside(client);
  return connect === undefined ? undefined : pgListener({ connect, heartbeat: Math.max(100, pollMs) });
}

/** The store itself: a line for each queue, which all share one connection that listens. */
class OwnStore extends PostgresQueues implements PostgresTaskStore {
  readonly #lines = new Lines<QueueLine>(
    (queue) => new QueueLine(toStoredText(queue), this.settings, undefined),
  );
  #isClosed = false;

  constructor(
    private readonly settings: LineSettings,
    private readonly migrateNow: () => Promise<void>,
  ) {
    super();
  }

  migrate(): Promise<void> {
    return this.migrateNow();
  }

  within(tx: PgQueryable): QueueStore {
    return new StoreWithin(this, this.settings, tx);
  }

  async waitForEvents(queue: string, id: string, after: number, signal: AbortSignal): Promise<void> {
    await this.line(queue).waitForEvents(toStoredText(id), after, signal);
  }

  async waitForWork(queue: string, signal: AbortSignal): Promise<void> {
    await this.line(queue).waitForWork(signal);
  }

  async waitForRevoked(queue: string, worker: string, signal: AbortSignal): Promise<readonly RevokedLease[]> {
    for (;;) {
      signal.throwIfAborted();
      const rows = await this.line(queue).waitForRevoked(toStoredText(worker), signal);
      if (rows !== undefined && rows.length > 0)
        return rows.map(([id, fence, reason]) => ({
          id: fromStoredText(id),
          fence,
          reason: fromStoredText(reason),
        }));
    }
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#lines.close();
    this.settings.runner.close();
    await this.settings.listener?.close();
  }

  protected line(queue: string): QueueLine {
    if (this.#isClosed) throw new ClosedError("a task store in postgres");
    return this.#lines.of(queue);
  }
}

/** A view of the store within a transaction. Closing it closes nothing. */
class StoreWithin extends PostgresQueues {
  readonly #lines = new Map<string, QueueLine>();

  constructor(
    private readonly store: OwnStore,
    private readonly settings: LineSettings,
    private readonly tx: PgQueryable,
  ) {
    super();
  }

  /** Completions alone leave the queue to others until the transaction ends. */
  override async settle(
    queue: string,
    settlements: readonly Settlement[],
    claim?: ClaimRequest,
  ): Promise<{ readonly outcomes: readonly WriteOutcome[]; readonly claimed: readonly ClaimedTask[] }> {
    if (claim !== undefined || settlements.some(({ kind }) => kind !== "complete"))
      return super.settle(queue, settlements, claim);
    const outcomes: WriteOutcome[] = [];
    for (const settlement of settlements) {
      if (settlement.kind !== "complete") continue;
      const { id, fence, result } = settlement;
      const words = [toStoredText(id), fence, ...toStoredPayload(result)];
      outcomes.push(writeOutcome(await this.line(queue).completeWithin(words)));
    }
    return { outcomes, claimed: [] };
  }

  waitForEvents(queue: string, id: string, after: number, signal: AbortSignal): Promise<void> {
    return this.store.waitForEvents(queue, id, after, signal);
  }

  waitForWork(queue: string, signal: AbortSignal): Promise<void> {
    return this.store.waitForWork(queue, signal);
  }

  waitForRevoked(queue: string, worker: string, signal: AbortSignal): Promise<readonly RevokedLease[]> {
    return this.store.waitForRevoked(queue, worker, signal);
  }

  async close(): Promise<void> {}

  protected line(queue: string): QueueLine {
    let line = this.#lines.get(queue);
    if (line === undefined) {
      line = new QueueLine(toStoredText(queue), this.settings, this.tx);
      this.#lines.set(queue, line);
    }
    return line;
  }
}
