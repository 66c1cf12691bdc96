// A queue whose calls go through a real PgBouncer in transaction mode, as the README says that they may.
import { transaction } from "@holdfast/core/postgres";
import type { Queue } from "@holdfast/queue";
import { defineTask, handle, queue, worker } from "@holdfast/queue";
import type { PostgresTaskStoreOptions } from "@holdfast/queue/postgres";
import { postgresTaskStore } from "@holdfast/queue/postgres";
import pg from "pg";
import { afterAll, afterEach, beforeAll, describe, expect, inject, it } from "vitest";
import { startPgBouncer, startPostgres } from "../../../tools/services/index.mjs";

const double = defineTask<number, number, number>({ name: "double" });
/** Fewer than there are clients, so that sessions change hands all the time. */
const POOL_SIZE = 2;

describe.skipIf(!inject("startsPgBouncer"))("postgresTaskStore behind PgBouncer in transaction mode", () => {
  let server: Awaited<ReturnType<typeof startPostgres>>;
  let pooler: Awaited<ReturnType<typeof startPgBouncer>>;
  const opened: (() => Promise<unknown>)[] = [];
  beforeAll(async () => {
    server = await startPostgres();
    pooler = await startPgBouncer(server.url, { poolSize: POOL_SIZE });
  });
  afterEach(async () => {
    for (const close of opened.splice(0).toReversed()) await close();
  });
  afterAll(async () => {
    await pooler?.stop();
    await server?.stop();
  });

  function connect(connectionString: string): pg.Pool {
    const pool = new pg.Pool({ connectionString, connectionTimeoutMillis: 1_000 });
    pool.on("error", () => {});
    opened.push(() => pool.end());
    return pool;
  }

  /** A queue over a pool and a store of its own, as another process would have. */
  function open(name: string, options: Partial<PostgresTaskStoreOptions>): Queue {
    const store = postgresTaskStore({ client: connect(pooler.url), ...options });
    opened.push(() => store.close());
    return queue({ name, store });
  }

  function work(tasks: Queue, seen: number[] = []): void {
    const running = worker(tasks, [handle(double, ({ input }) => (seen.push(input), input * 2))], {
      lease: "1s",
      concurrency: 4,
    });
    opened.push(() => running.close({ within: "1s" }));
  }

  /** Adds a task for as long as that takes: under an ID of its own, a second try adds no second task. */
  async function added(tasks: Queue, input: number, id: string): Promise<void> {
    for (;;) {
      const code = await tasks.enqueue(double, input, { id }).then(
        () => "TASK_EXISTS",
        (error: { code: string }) => error.code,
      );
      if (code === "TASK_EXISTS") return;
      expect(code).toBe("STORE_UNAVAILABLE");
    }
  }

  /** Connects to the server itself. */
  async function direct(): Promise<pg.Client> {
    const client = new pg.Client(server.url);
    await client.connect();
    return client;
  }

  const WAYS: Readonly<Record<string, Partial<PostgresTaskStoreOptions>>> = {
    "hears of things on a connection to the server itself": { listen: direct, poll: "1h" },
    "polls only": { listen: false, poll: "100ms" },
    "listens through the pooler, which hears nothing, and polls": { poll: "100ms" },
  };
  it.each(Object.entries(WAYS))(
    "[must-survive 36] [pitfall 15] works off every task once when it %s, also when the connections behind it are killed",
    { timeout: 20_000 },
    async (way, options) => {
      const name = way.replaceAll(/\W+/g, "-");
      const [here, there, elsewhere] = [1, 2, 3].map(() => open(name, options)) as [Queue, Queue, Queue];
      const seen: number[] = [];
      for (const tasks of [there, elsewhere]) work(tasks, seen);
      expect(await here.wait(double, (await here.enqueue(double, 0)).id)).toBe(0);
      const admin = connect(server.url);
      const harms = [
        () =>
          admin.query(
            "select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() and backend_type = 'client backend'",
          ),
        () => pooler.restart(),
      ];
      const ids: string[] = [];
      for (const [round, harm] of harms.entries()) {
        const batch = Array.from({ length: 20 }, (_, index) => `task-${round}-${index}`);
        await Promise.all(batch.slice(0, 10).map((id, index) => added(here, index, id)));
        await Promise.all([harm(), ...batch.slice(10).map((id, index) => added(here, 10 + index, id))]);
        ids.push(...batch);
      }
      for (const [index, id] of ids.entries()) expect(await here.wait(double, id)).toBe((index % 20) * 2);
      expect(await here.stats()).toMatchObject({ completed: ids.length + 1, ready: 0, running: 0 });
    },
  );

  it("[must-survive 36] adds what a transaction adds if that commits, and leaves nothing behind in a session", async () => {
    const pool = connect(pooler.url);
    const store = postgresTaskStore({ client: pool, listen: false });
    opened.push(() => store.close());
    // What the first call does needs a connection of its own, and transactions may have taken all.
    await store.stats("within");
    const outcomes = await Promise.allSettled(
      Array.from({ length: 20 }, (_, index) =>
        transaction(pool, async (tx) => {
          await queue({ name: "within", store: store.within(tx) }).enqueue(double, index, { id: `${index}` });
          if (index % 2 === 1) throw new Error("no");
        }),
      ),
    );
    expect(outcomes.map(({ status }) => status)).toEqual(
      outcomes.map((_, index) => (index % 2 === 1 ? "rejected" : "fulfilled")),
    );
    expect(await queue({ name: "within", store }).stats()).toMatchObject({ ready: 10 });
    const admin = connect(server.url);
    const { rows } = await admin.query<{ state: string; locks: string }>(
      `select state, (select count(*) from pg_locks where pid = activity.pid) as locks
       from pg_stat_activity as activity where pid <> pg_backend_pid() and backend_type = 'client backend'`,
    );
    expect(rows.length).toBeGreaterThan(0);
    expect(rows.every(({ state, locks }) => state === "idle" && locks === "0")).toBe(true);
  });
});
