import { setTimeout as sleep } from "node:timers/promises";
import { transaction } from "@holdfast/core/postgres";
import type { Queue } from "@holdfast/queue";
import { defineTask, explicitWaits, handle, queue, worker } from "@holdfast/queue";
import type { PostgresTaskStore } from "@holdfast/queue/postgres";
import { completeWithin, postgresTaskStore } from "@holdfast/queue/postgres";
import fc from "fast-check";
import pg from "pg";
import { afterAll, afterEach, beforeAll, describe, expect, inject, it } from "vitest";
import { freshDatabase } from "../../../tools/services/index.mjs";

const databaseUrl = inject("databaseUrl");
const double = defineTask<number, number, number>({ name: "double" });

describe.skipIf(databaseUrl === "")("tasks in a caller's transaction", () => {
  let pool: pg.Pool;
  let store: PostgresTaskStore;
  let drop: () => Promise<void>;
  const opened: (() => Promise<unknown>)[] = [];
  beforeAll(async () => {
    const database = await freshDatabase(databaseUrl);
    drop = () => database.drop();
    pool = new pg.Pool({ connectionString: database.url });
    pool.on("error", () => {});
    await pool.query("create table effects (id text)");
    store = postgresTaskStore({ client: pool, poll: "1h", deadline: "5s" });
    await store.migrate();
  });
  afterEach(async () => {
    for (const close of opened.splice(0).toReversed()) await close();
  });
  afterAll(async () => {
    await store.close();
    await pool.end();
    await drop();
  });

  const within = (name: string, tx: pg.PoolClient | { query: pg.PoolClient["query"] }): Queue =>
    queue({ name, store: store.within(tx as never) });

  it("[I11] are there if, and only if, it commits, and wake a worker that waits then", async () => {
    const tasks = queue({ name: "committed", store });
    const seen: number[] = [];
    const working = worker(tasks, [
      handle(double, ({ input }) => {
        seen.push(input);
        return input * 2;
      }),
    ]);
    opened.push(() => working.close({ within: "1s" }));
    await sleep(200);
    const rolledBack = transaction(pool, async (tx) => {
      await within("committed", tx as never).enqueue(double, 1, { id: "gone" });
      throw new Error("no");
    });
    await expect(rolledBack).rejects.toThrow("no");
    let isCommitted = false;
    await transaction(pool, async (tx) => {
      await within("committed", tx as never).enqueue(double, 2, { id: "there" });
      await sleep(100);
      expect(await store.get("committed", ["there"])).toEqual([undefined]);
      isCommitted = true;
    });
    expect(isCommitted).toBe(true);
    expect(await tasks.wait(double, "there")).toBe(4);
    expect(seen).toEqual([2]);
    expect(await store.get("committed", ["gone"])).toEqual([undefined]);
  });

  it("[I11] leave nothing of a transaction that is rolled back, or cut off, and all of one that commits, in any history", async () => {
    const anId = fc.constantFrom("a", "b", "c", "d");
    const aCall = fc.record({ verb: fc.constantFrom("enqueue", "enqueue", "cancel", "discard"), id: anId });
    const aTransaction = fc.record({
      calls: fc.array(aCall, { minLength: 1, maxLength: 4 }),
      end: fc.constantFrom("commit", "commit", "rollback", "cut"),
    });
    let made = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(aTransaction, { minLength: 1, maxLength: 6 }), async (history) => {
        const name = `history-${(made += 1)}`;
        let there = new Map<string, string>();
        for (const { calls, end } of history) {
          const then = new Map(there);
          const tx = await pool.connect();
          tx.on("error", () => {});
          await tx.query("begin");
          const inside = within(name, tx);
          for (const { verb, id } of calls)
            if (verb === "enqueue") {
              const added = inside.enqueue(double, 1, { id });
              if (then.has(id)) await expect(added).rejects.toMatchObject({ code: "TASK_EXISTS" });
              else then.set((await added).id, "ready");
            } else if (verb === "cancel") {
              await inside.store.cancel(name, [id], "no");
              if (then.has(id)) then.set(id, "cancelled");
            } else {
              await inside.store.discard(name, [id]);
              if (then.get(id) === "cancelled") then.delete(id);
            }
          if (end !== "cut") await tx.query(end);
          tx.release(end === "cut");
          if (end === "commit") there = then;
          const ids = ["a", "b", "c", "d"];
          const found = await store.get(name, ids);
          expect(found.map((status) => status?.state)).toEqual(ids.map((id) => there.get(id)));
        }
        const ready = [...there].filter(([, state]) => state === "ready").map(([id]) => id);
        const claimed = await store.claim(name, { worker: "w", max: 10, leaseMs: 60_000 });
        expect(claimed.map(({ id }) => id).toSorted()).toEqual(ready.toSorted());
      }),
      { numRuns: 25 },
    );
  });

  it("hold up nobody else on the queue while it is open", async () => {
    const tasks = queue({ name: "open", store });
    await tasks.enqueue(double, 1, { id: "before" });
    await transaction(pool, async (tx) => {
      await within("open", tx as never).enqueue(double, 2, { id: "within", dedupKey: "k" });
      await tasks.enqueue(double, 3, { id: "beside" });
      const claimed = await store.claim("open", { worker: "w", max: 10, leaseMs: 60_000 });
      expect(claimed.map(({ id }) => id)).toEqual(["before", "beside"]);
    });
    expect((await tasks.enqueue(double, 4, { dedupKey: "k" })).duplicate).toBe(true);
    expect(await tasks.stats()).toMatchObject({ ready: 1, running: 2 });
  });

  it("wait for each other over a dedup key, and only then", async () => {
    const tasks = queue({ name: "keys", store });
    let commit = (): void => {};
    const open = transaction(pool, async (tx) => {
      await within("keys", tx as never).enqueue(double, 1, { id: "first", dedupKey: "k" });
      await new Promise<void>((resolve) => (commit = resolve));
    });
    await sleep(100);
    const second = tasks.enqueue(double, 2, { id: "second", dedupKey: "k" });
    await sleep(100);
    commit();
    await open;
    expect(await second).toMatchObject({ id: "first", duplicate: true });
  });

  it("are completed with what their handler writes, or neither is", async () => {
    const tasks = queue({ name: "effects", store });
    let fails = true;
    const twice = defineTask<number, number, number>({
      name: "twice",
      attempts: 3,
      backoff: explicitWaits("10ms"),
    });
    const working = worker(
      tasks,
      [
        handle(twice, (context) =>
          transaction(pool, async (tx) => {
            await tx.query("insert into effects values ($1)", [context.id]);
            await completeWithin({ queue: tasks, tx, task: twice, context, result: context.input * 2 });
            if (fails) {
              fails = false;
              throw new Error("after all");
            }
            return 0;
          }),
        ),
      ],
      { lease: "5s" },
    );
    opened.push(() => working.close({ within: "1s" }));
    const { id } = await tasks.enqueue(twice, 21);
    expect(await tasks.wait(twice, id)).toBe(42);
    expect((await pool.query("select * from effects where id = $1", [id])).rows).toHaveLength(1);
    expect(await tasks.status(id)).toMatchObject({ state: "completed", attempt: 2 });
    const page = await store.events("effects", id, 0, 100);
    expect(page!.events.map(({ type }) => type)).toEqual([
      "enqueued",
      "started",
      "retrying",
      "started",
      "completed",
    ]);
  });

  it("are not lost to another worker while that is open, and are when it rolls back", async () => {
    const name = "leases";
    await queue({ name, store }).enqueue(double, 1, { id: "task" });
    const [held] = await store.claim(name, { worker: "w", max: 1, leaseMs: 300 });
    const completion = { ...held!, kind: "complete", result: { text: "1", blobs: [] } } as const;
    const rolledBack = transaction(pool, async (tx) => {
      expect((await store.within(tx).settle(name, [completion])).outcomes).toEqual([{ written: true }]);
      await sleep(500);
      expect(await store.claim(name, { worker: "x", max: 1, leaseMs: 1_000 })).toEqual([]);
      throw new Error("no");
    });
    await expect(rolledBack).rejects.toThrow("no");
    await sleep(50);
    const [again] = await store.claim(name, { worker: "x", max: 1, leaseMs: 60_000 });
    expect(again?.id).toBe("task");
    const late = transaction(pool, async (tx) => store.within(tx).settle(name, [completion]));
    expect((await late).outcomes).toEqual([{ written: false, cause: "lease_lost" }]);
  });

  it("take the worker's own settlement behind a committed completion for made, and nobody else's", async () => {
    const name = "behind";
    await queue({ name, store }).enqueue(double, 1, { id: "task" });
    const [held] = await store.claim(name, { worker: "w", max: 1, leaseMs: 60_000 });
    const completion = { ...held!, kind: "complete", result: { text: "1", blobs: [] } } as const;
    await transaction(pool, (tx) => store.within(tx).settle(name, [completion]));
    const again = { ...completion, result: { text: "2", blobs: [] } };
    expect((await store.settle(name, [again])).outcomes).toEqual([{ written: true }]);
    expect((await store.settle(name, [{ ...again, fence: held!.fence - 1 }])).outcomes).toEqual([
      { written: false, cause: "lease_lost" },
    ]);
    expect((await store.result(name, "task"))?.text).toBe("1");
    expect(await store.stats(name)).toMatchObject({ completed: 1, running: 0 });
  });
});
