import { setTimeout as sleep } from "node:timers/promises";
import type { Queue } from "@holdfast/queue";
import { defineTask, handle, queue, worker } from "@holdfast/queue";
import type { PostgresTaskStoreOptions } from "@holdfast/queue/postgres";
import { postgresTaskMigrations, postgresTaskStore } from "@holdfast/queue/postgres";
import pg from "pg";
import { afterAll, afterEach, beforeAll, describe, expect, inject, it } from "vitest";
import { freshDatabase, startPostgres, startProxy } from "../../../tools/services/index.mjs";
import { makesRoomForAHundredth } from "./support/makes-room.ts";
import { outlivesManyDue } from "./support/many-due.ts";

const double = defineTask<number, number, number>({ name: "double" });
const endless = defineTask({ name: "endless" });
/** What a slow machine may add to a budget: still far from what waits for a server take, let alone from never. */
const MARGIN_MS = 5_000;

async function msOf(act: () => Promise<unknown>): Promise<number> {
  const startedAt = performance.now();
  await act();
  return performance.now() - startedAt;
}

describe.skipIf(!inject("startsPostgres"))("postgresTaskStore", () => {
  let server: Awaited<ReturnType<typeof startPostgres>>;
  const opened: (() => Promise<unknown>)[] = [];
  beforeAll(async () => {
    server = await startPostgres();
    await postgresTaskStore({ client: connect() }).migrate();
  });
  afterAll(() => server.stop());
  afterEach(async () => {
    for (const close of opened.splice(0).toReversed()) await close();
  });

  function connect(options: pg.PoolConfig = {}): pg.Pool {
    const pool = new pg.Pool({ connectionString: server.url, ...options });
    pool.on("error", () => {});
    opened.push(() => pool.end());
    return pool;
  }

  /** A queue over a pool and a store of its own, as another process would have. */
  function open(name: string, options: Partial<PostgresTaskStoreOptions> = {}): Queue {
    const store = postgresTaskStore({ client: connect(), poll: "1h", deadline: "5s", ...options });
    opened.push(() => store.close());
    return queue({ name, store });
  }

  function work(tasks: Queue): void {
    const running = worker(tasks, [handle(double, ({ input }) => input * 2)], { lease: "1h" });
    opened.push(() => running.close({ within: "1s" }));
  }

  it("wakes workers and those who wait in other processes, without a poll, also at a time that was set", async () => {
    const [here, there] = [open("awake"), open("awake")];
    work(there);
    await sleep(300);
    const { id } = await here.enqueue(double, 21);
    expect(await here.wait(double, id)).toBe(42);
    const delayed = await here.enqueue(double, 4, { delay: "150ms" });
    expect(await here.wait(double, delayed.id)).toBe(8);
  });

  it("[must-survive 36] [pitfall 15] goes on when all its connections are killed, the one that listens too", async () => {
    const [here, there] = [open("killed"), open("killed")];
    work(there);
    expect(await here.wait(double, (await here.enqueue(double, 1)).id)).toBe(2);
    const admin = connect({ max: 1 });
    for (let round = 0; round < 3; round += 1) {
      await admin.query(
        "select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() and datname = current_database()",
      );
      const id = `task-${round}`;
      for (;;) {
        const outcome = await here
          .enqueue(double, round, { id })
          .catch((error: { code: string }) => error.code);
        if (outcome !== "STORE_UNAVAILABLE") break;
        await sleep(20);
      }
      expect(await here.wait(double, id)).toBe(round * 2);
    }
  });

  it("[pitfall 14] hears of things within its poll while the connection that listens is deaf", async () => {
    await using proxy = await startProxy(server.url);
    const listen = async (): Promise<pg.Client> => {
      const client = new pg.Client(proxy.url);
      await client.connect();
      return client;
    };
    const [here, there] = [open("deaf"), open("deaf", { listen, poll: "200ms" })];
    work(there);
    expect(await here.wait(double, (await here.enqueue(double, 1)).id)).toBe(2);
    proxy.blackhole();
    for (let n = 0; n < 3; n += 1) {
      const { id } = await here.enqueue(double, n);
      while ((await here.status(id)).state !== "completed") await sleep(20);
    }
  });

  it("adds a task once whose reply was lost, when it is asked for again under its ID", async () => {
    await using proxy = await startProxy(server.url);
    const tasks = open("replies", {
      client: connect({ connectionString: proxy.url }),
      listen: false,
      deadline: "1s",
    });
    await tasks.enqueue(double, 1);
    for (let n = 0; n < 5; n += 1) {
      proxy.dropReplies(1);
      const lost = await tasks.enqueue(double, n, { id: `task-${n}` }).catch((error: unknown) => error);
      expect(lost).toMatchObject({ code: "STORE_UNAVAILABLE", outcome: "unknown" });
      proxy.heal();
      const again = await tasks.enqueue(double, n, { id: `task-${n}` }).catch((error: unknown) => error);
      expect(again).toMatchObject({ code: "TASK_EXISTS" });
    }
    expect((await tasks.stats()).ready).toBe(6);
  });

  it("tells callers within its deadline when its pool is full, and that nothing has happened", async () => {
    const pool = connect({ max: 1 });
    const tasks = open("full", { client: pool, listen: false, deadline: "300ms" });
    await tasks.enqueue(double, 1);
    const taken = await pool.connect();
    const refused = await tasks.enqueue(double, 2).catch((error: unknown) => error);
    expect(refused).toMatchObject({ code: "STORE_UNAVAILABLE", outcome: "none" });
    taken.release();
    await sleep(50);
    expect((await tasks.stats()).ready).toBe(1);
  });

  it("[pitfall 5] closes within its time while the server is frozen, and tells callers why", async () => {
    const tasks = open("frozen", { deadline: "300ms" });
    const running = worker(tasks, [handle(double, ({ input }) => input)], { lease: "500ms" });
    await tasks.wait(double, (await tasks.enqueue(double, 1)).id);
    server.pause();
    try {
      await expect(tasks.enqueue(double, 2)).rejects.toMatchObject({ code: "STORE_UNAVAILABLE" });
      expect(await msOf(() => running.close({ within: "500ms" }))).toBeLessThan(500 + MARGIN_MS);
    } finally {
      server.resume();
    }
    await tasks.store.close();
  });

  it.each(["refused", "ended"] as const)(
    "[pitfall 5] closes within its time while connections are %s, with a task that runs",
    async (how) => {
      const proxy = await startProxy(server.url);
      const client = new pg.Pool({ connectionString: proxy.url });
      client.on("error", () => {});
      const tasks = open(`cut-${how}`, { client, deadline: "300ms", listen: false });
      let begin = (): void => {};
      const begun = new Promise<void>((resolve) => (begin = resolve));
      const deaf = handle(endless, () => (begin(), new Promise(() => {})));
      const running = worker(tasks, [deaf], { lease: "10s", concurrency: 1 });
      await tasks.enqueue(endless, 1);
      await begun;
      // Nobody listens on its port any more; or the pool has been ended by its owner.
      if (how === "refused") await proxy.close();
      else await client.end();
      await expect(tasks.enqueue(endless, 2)).rejects.toThrow();
      expect(await msOf(() => running.close({ within: "1s" }))).toBeLessThan(1_000 + MARGIN_MS);
      expect(await msOf(() => tasks.store.close())).toBeLessThan(MARGIN_MS);
      await (how === "refused" ? client.end() : proxy.close());
    },
  );

  it("asks nothing while there is nothing to do", async () => {
    const tasks = open("idle");
    work(tasks);
    await tasks.wait(double, (await tasks.enqueue(double, 1)).id);
    await sleep(300);
    const admin = connect({ max: 1 });
    const calls = async (): Promise<number> => {
      const { rows } = await admin.query<{ n: string }>(
        "select fence + told + all_added as n from holdfast_queue.queues where name = 'idle'",
      );
      const { rows: moved } = await admin.query<{ n: string }>(
        "select xmin::text as n from holdfast_queue.queues where name = 'idle'",
      );
      return Number(rows[0]!.n) + Number(moved[0]!.n);
    };
    const before = await calls();
    await sleep(700);
    expect(await calls()).toBe(before);
  });

  it("leaves nothing behind of tasks that are forgotten", async () => {
    const name = "tidy";
    const tasks = open(name);
    const brief = defineTask<number, number, number>({ name: "double", keepFor: "1ms" });
    await tasks.enqueueMany(
      brief,
      [1, 2, 3].map((input) => ({ input, dedupKey: `k${input}`, group: "g" })),
    );
    for (let n = 0; n < 3; n += 1) {
      const [held] = await tasks.store.claim(name, { worker: "w", max: 1, leaseMs: 60_000 });
      await tasks.store.report(name, [{ ...held!, reports: [{ kind: "log", line: "hello" }] }]);
      await tasks.store.checkpoint(name, held!, [{ name: "c", value: { text: "1", blobs: [] } }]);
      await tasks.store.settle(name, [{ ...held!, kind: "complete", result: { text: "1", blobs: [] } }]);
    }
    await sleep(20);
    expect(Object.values(await tasks.stats()).every((count) => count === 0)).toBe(true);
    const admin = connect({ max: 1 });
    for (const table of ["tasks", "events", "checkpoints", "groups", "waits", "turns"]) {
      const { rows } = await admin.query(
        `select 1 from holdfast_queue.${table} where queue = (select queue from holdfast_queue.queues where name = $1)`,
        [name],
      );
      expect(rows, table).toEqual([]);
    }
  });

  it("keeps the latest ended tasks, dead letters and events alone, each up to its bound", async () => {
    const name = "bounds";
    const { store } = open(name, { maxEnded: 2, maxDeadLetters: 1, maxEvents: 10 });
    const ids = ["1", "2", "3", "4", "5", "6"];
    await queue({ name, store }).enqueueMany(
      double,
      ids.map((id) => ({ id, input: 1 })),
    );
    const claimed = await store.claim(name, { worker: "w", max: 5, leaseMs: 60_000 });
    const error = { code: "BROKEN", message: "" };
    for (const [index, { id, fence }] of claimed.entries())
      await store.settle(name, [
        index < 3
          ? { id, fence, kind: "complete", result: { text: "1", blobs: [] } }
          : { id, fence, kind: "fail", error },
      ]);
    expect(await store.stats(name)).toMatchObject({ completed: 2, failed: 1, ready: 1 });
    const [last] = await store.claim(name, { worker: "w", max: 1, leaseMs: 60_000 });
    const reports = Array.from({ length: 20 }, (_, line) => ({ kind: "log" as const, line: `${line}` }));
    await store.report(name, [{ ...last!, reports }]);
    const page = await store.events(name, last!.id, 0, 100);
    expect(page!.events.map(({ seq }) => seq)).toEqual([13, 14, 15, 16, 17, 18, 19, 20, 21, 22]);
  });

  it("[pitfall 18] answers every call in time while nine thousand things happen by themselves", async () => {
    await outlivesManyDue(open("due", { deadline: "2s" }));
  });

  it("makes room for a hundredth of its bound when more have ended, the oldest first", async () => {
    const { store } = open("room", { maxEnded: 200 });
    await makesRoomForAHundredth(store);
  });

  it("sets its schema up once, however many processes begin at a time, and refuses one that is newer", async () => {
    await using database = await freshDatabase(server.url);
    const client = connect({ connectionString: database.url });
    const queues = [1, 2, 3, 4].map(() => open("fresh", { client, schema: "other", listen: false }));
    await Promise.all(queues.map((tasks) => tasks.enqueue(double, 1)));
    expect((await queues[0]!.stats()).ready).toBe(4);
    const { rows } = await client.query("select name from holdfast_migrations");
    expect(rows.map(({ name }: { name: string }) => name)).toEqual(
      postgresTaskMigrations("other").map(({ name }) => name),
    );
    await client.query("insert into holdfast_migrations values ('queue:other:99', now())");
    const older = open("fresh", { client, schema: "other", listen: false });
    await expect(older.enqueue(double, 1)).rejects.toMatchObject({
      code: "STORE_UNFIT",
      reasons: [expect.stringContaining("queue:other:99")],
    });
    const careful = open("fresh", { client, schema: "third", listen: false, migrate: false });
    await expect(careful.enqueue(double, 1)).rejects.toMatchObject({ code: "STORE_UNFIT" });
    await opened
      .splice(0)
      .toReversed()
      .reduce(async (before, close) => {
        await before;
        await close();
      }, Promise.resolve<unknown>(undefined));
  });

  it("refuses a server that takes no writes or isolates too much, until that is put right", async () => {
    const readOnly = connect({ options: "-c default_transaction_read_only=on" });
    await expect(open("unfit", { client: readOnly }).enqueue(double, 1)).rejects.toMatchObject({
      code: "STORE_UNFIT",
      reasons: [expect.stringContaining("read_only")],
    });
    const serial = connect({ options: "-c default_transaction_isolation=serializable" });
    await expect(open("unfit", { client: serial }).enqueue(double, 1)).rejects.toMatchObject({
      code: "STORE_UNFIT",
      reasons: [expect.stringContaining("serializable")],
    });
    expect((await open("unfit").enqueue(double, 1)).duplicate).toBe(false);
  });

  it("refuses options that are out of range", () => {
    const client = connect();
    expect(() => postgresTaskStore({ client, schema: "No" })).toThrow(/schema/);
    expect(() => postgresTaskStore({ client, poll: 1 })).toThrow(/poll/);
    expect(() => postgresTaskStore({ client, maxEvents: 1 })).toThrow(/maxEvents/);
    expect(() => postgresTaskStore({ client: {} as never })).toThrow(/client/);
  });

  it("tells names apart that UTF-8 cannot", async () => {
    const name = "names \ud800";
    const { store } = open("names");
    const keys = ["\ud800", "\udfff", "\u0001d800", "\u0000", 'quote " \\ {}', "plain"];
    const task = (dedupKey: string, index: number) => ({
      id: `${dedupKey}${index}`,
      name: "double",
      input: { text: '"\u2028"', blobs: [] },
      delayMs: 0,
      priority: 0,
      maxAttempts: 1,
      maxLeaseLosses: 1,
      dedupKey,
      group: dedupKey,
      meta: dedupKey,
      keepMs: 1_000,
      keepFailedMs: 1_000,
    });
    const added = await store.enqueue(name, keys.map(task), { limit: 100 });
    expect(added).toMatchObject({ full: false, outcomes: keys.map(() => ({ outcome: "enqueued" })) });
    const again = await store.enqueue(
      name,
      keys.map((key, index) => ({ ...task(key, index), id: `again-${index}` })),
      { limit: 100 },
    );
    expect(again).toMatchObject({
      outcomes: keys.map((key, index) => ({ outcome: "duplicate", id: `${key}${index}` })),
    });
    const claimed = await store.claim(name, { worker: "w\udfff", max: 10, leaseMs: 1_000 });
    expect(claimed.map(({ meta }) => meta)).toEqual(keys);
    const found = await store.get(
      name,
      claimed.map(({ id }) => id),
    );
    expect(found.map((status) => status?.group)).toEqual(keys);
    expect(found[0]).toMatchObject({ state: "running", worker: "w\udfff" });
  });
});
