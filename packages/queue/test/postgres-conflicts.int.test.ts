// What PostgreSQL does to transactions that get into each other's way, and to connections, each by its SQLSTATE.
import { sqlStateOf, transaction } from "@holdfast/core/postgres";
import type { Queue } from "@holdfast/queue";
import { defineTask, handle, queue, worker } from "@holdfast/queue";
import type { PostgresTaskStore, PostgresTaskStoreOptions } from "@holdfast/queue/postgres";
import { completeWithin, postgresTaskStore } from "@holdfast/queue/postgres";
import pg from "pg";
import { afterAll, afterEach, beforeAll, describe, expect, inject, it } from "vitest";
import { startPostgres, startProxy } from "../../../tools/services/index.mjs";
import { rejection } from "./bench.ts";

const double = defineTask<number, number, number>({ name: "double" });
/** When a session that waits looks for a deadlock: once, so that the test has this long to make one. */
const DEADLOCK_MS = 500;
const STRICT = ["repeatable read", "serializable"] as const;

describe.skipIf(!inject("startsPostgres"))("postgresTaskStore among other transactions", () => {
  let server: Awaited<ReturnType<typeof startPostgres>>;
  let pool: pg.Pool;
  let store: PostgresTaskStore;
  const opened: (() => Promise<unknown>)[] = [];
  beforeAll(async () => {
    server = await startPostgres({ settings: { deadlock_timeout: `${DEADLOCK_MS}ms` } });
    pool = new pg.Pool({ connectionString: server.url, max: 20 });
    pool.on("error", () => {});
    store = postgresTaskStore({ client: pool, poll: "1h", deadline: "5s" });
    await store.migrate();
    await pool.query("create table done (id text primary key)");
    await pool.query("create table sums (n int); insert into sums values (0)");
  });
  afterEach(async () => {
    for (const close of opened.splice(0).toReversed()) await close();
  });
  afterAll(async () => {
    await store?.close();
    await pool?.end();
    await server?.stop();
  });

  /** A session of somebody else's. */
  async function stranger(): Promise<pg.Client> {
    const client = new pg.Client(server.url);
    client.on("error", () => {});
    await client.connect();
    opened.push(() => client.end());
    return client;
  }

  function open(name: string, options: Partial<PostgresTaskStoreOptions>): Queue {
    const own = postgresTaskStore({ client: pool, poll: "1h", ...options });
    opened.push(() => own.close());
    return queue({ name, store: own });
  }

  /** The session that waits for a lock. */
  async function waiting(): Promise<number> {
    for (;;) {
      const { rows } = await pool.query<{ pid: number }>(
        "select pid from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()",
      );
      if (rows[0] !== undefined) return rows[0].pid;
    }
  }

  describe.each(STRICT)("[must-survive 36] 40001 in a caller's transaction at %s", (isolation) => {
    it("is told to the caller, as a conflict in which nothing has happened", async () => {
      const name = `told-${isolation.replace(" ", "-")}`;
      const tasks = queue({ name, store });
      await tasks.enqueue(double, 1, { id: "held" });
      const conflicting = transaction(
        pool,
        async (tx) => {
          // What it sees from here on is as it is now.
          await tx.query("select 1");
          await tasks.pause();
          await store.within(tx).cancel(name, ["held"], "no");
        },
        { isolation },
      );
      const error = await rejection(conflicting);
      expect(error).toMatchObject({ code: "STORE_UNAVAILABLE", reason: "conflict", outcome: "none" });
      expect(sqlStateOf(error)).toBe("40001");
      expect((await tasks.status("held")).state).toBe("ready");
    });

    it.each(["ID", "dedup key"])(
      "is what it meets that adds an %s that was added meanwhile",
      async (what) => {
        const name = `met-${isolation.replace(" ", "-")}`;
        const tasks = queue({ name, store });
        const again = what === "ID" ? { id: "same" } : { dedupKey: "same" };
        const late = transaction(
          pool,
          async (tx) => {
            await tx.query("select 1");
            await tasks.enqueue(double, 1, again);
            await queue({ name, store: store.within(tx) }).enqueue(double, 2, again);
          },
          { isolation },
        );
        expect(sqlStateOf(await rejection(late))).toBe("40001");
      },
    );

    it("is got over by running it again: every task is added once, and completed with its effect", async () => {
      const name = `again-${isolation.replace(" ", "-")}`;
      const tasks = queue({ name, store });
      let runs = 0;
      const adding = Array.from({ length: 12 }, (_, index) =>
        transaction(
          pool,
          async (tx) => {
            runs += 1;
            const { rows } = await tx.query("select n from sums");
            const inside = queue({ name, store: store.within(tx) });
            await inside.enqueue(double, index, { id: `${name}-${index}`, dedupKey: `key-${index % 6}` });
            await tx.query("update sums set n = $1", [Number(rows[0]!["n"]) + 1]);
          },
          { isolation, retries: 100 },
        ),
      );
      await Promise.all(adding);
      expect(runs).toBeGreaterThan(adding.length);
      expect((await tasks.stats()).ready).toBe(6);
      const working = worker(tasks, [
        handle(double, (context) =>
          transaction(
            pool,
            async (tx) => {
              await tx.query("update sums set n = n - 2");
              await tx.query("insert into done values ($1)", [context.id]);
              const result = context.input * 2;
              await completeWithin({ queue: tasks, tx, task: double, context, result });
              return result;
            },
            { isolation, retries: 100 },
          ),
        ),
      ]);
      opened.push(() => working.close({ within: "1s" }));
      expect(await tasks.drain({ within: "20s" })).toMatchObject({ drained: true, stats: { completed: 6 } });
      // Neither lost an effect nor had one twice.
      expect((await pool.query("select n from sums")).rows).toEqual([{ n: 0 }]);
      expect((await pool.query("select 1 from done where starts_with(id, $1)", [name])).rowCount).toBe(6);
    });
  });

  it("[must-survive 36] 40P01: does its work all the same when it is the victim of a deadlock with a stranger", async () => {
    const tasks = queue({ name: "locked", store });
    await tasks.enqueue(double, 1, { id: "task" });
    const other = await stranger();
    await other.query("set deadlock_timeout = '1h'");
    await other.query("begin");
    await other.query("select 1 from holdfast_queue.tasks where id = 'task' for update");
    // It locks the queue, and then waits for the task.
    const cancelled = store.cancel("locked", ["task"], "no");
    await waiting();
    await other.query("select 1 from holdfast_queue.queues where name = 'locked' for update");
    await other.query("commit");
    expect(await cancelled).toEqual(["cancelled"]);
    expect(server.logTail()).toContain("deadlock detected");
    expect(await tasks.stats()).toMatchObject({ ready: 0, cancelled: 1 });
  });

  it("[must-survive 36] 57P01: tells whoever asks that it may have happened, and asks on a new connection then", async () => {
    const tasks = queue({ name: "ended", store });
    await tasks.enqueue(double, 1, { id: "task" });
    const other = await stranger();
    await other.query("begin");
    await other.query("select 1 from holdfast_queue.queues where name = 'ended' for update");
    const cut = rejection(store.cancel("ended", ["task"], "no"));
    const pid = await waiting();
    await pool.query("select pg_terminate_backend($1)", [pid]);
    const error = await cut;
    expect(error).toMatchObject({ code: "STORE_UNAVAILABLE", reason: "shutting_down", outcome: "unknown" });
    expect(sqlStateOf(error)).toBe("57P01");
    await other.query("commit");
    expect((await tasks.status("task")).state).toBe("ready");
    expect(await store.cancel("ended", ["task"], "no")).toEqual(["cancelled"]);
  });

  it("[must-survive 36] hears of what was added while the connection that listens was gone, once it is back", async () => {
    await using proxy = await startProxy(server.url);
    let connected = 0;
    const listen = async (): Promise<pg.Client> => {
      const client = new pg.Client(proxy.url);
      await client.connect();
      connected += 1;
      return client;
    };
    const tasks = open("deaf", { listen });
    const working = worker(tasks, [handle(double, ({ input }) => input * 2)]);
    opened.push(() => working.close({ within: "1s" }));
    const first = await tasks.enqueue(double, 1);
    await expect.poll(async () => (await tasks.status(first.id)).state).toBe("completed");
    await expect.poll(() => connected).toBe(1);
    proxy.cut();
    const { id } = await queue({ name: "deaf", store }).enqueue(double, 2);
    expect((await tasks.status(id)).state).toBe("ready");
    proxy.heal();
    await expect.poll(async () => (await tasks.status(id)).state, { timeout: 20_000 }).toBe("completed");
    expect(connected).toBe(2);
  });
});
