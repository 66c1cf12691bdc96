import pg from "pg";
import { afterEach, beforeAll, describe, expect, inject, it } from "vitest";
import type { BeginRequest } from "@holdfast/core";
import type { PostgresIdempotencyStore } from "@holdfast/core/postgres";
import { migrate, pgRunner, postgresIdempotencyStore, transaction } from "@holdfast/core/postgres";
import { leakCheck, manualClock } from "@holdfast/core/testing";
import { startPostgres, startProxy } from "../../../tools/services/index.mjs";

const startsPostgres = inject("startsPostgres");

const request: BeginRequest = {
  scope: "pay",
  key: "order-1",
  fingerprint: "f",
  owner: "a",
  lockTtlMs: 60_000,
  ttlMs: 120_000,
  takeDoubtful: false,
};

const pools: pg.Pool[] = [];
afterEach(async () => {
  for (const pool of pools.splice(0)) await pool.end();
});

function connect(url: string, options: pg.PoolConfig = {}): pg.Pool {
  const pool = new pg.Pool({ connectionString: url, ...options });
  pool.on("error", () => {});
  pools.push(pool);
  return pool;
}

async function storeOn(client: pg.Pool, deadline = 2_000): Promise<PostgresIdempotencyStore> {
  const store = postgresIdempotencyStore({ client, deadline });
  await store.migrate();
  return store;
}

function unavailable(reason: string, outcome: "none" | "unknown"): unknown {
  return expect.objectContaining({ code: "STORE_UNAVAILABLE", reason, outcome });
}

describe.skipIf(!startsPostgres)("a PostgreSQL that fails", () => {
  it("is frozen: calls end at their deadline with an unknown outcome, and the pool gets over it", async () => {
    await using server = await startPostgres();
    const pool = connect(server.url, { max: 2 });
    const store = await storeOn(pool, 300);
    const begun = await store.begin(request);
    await store.begin({ ...request, key: "another" });
    server.pause();
    await expect(store.begin(request)).rejects.toEqual(unavailable("timeout", "unknown"));
    // The connection that hung is gone, and a new one does not open: nothing was sent any more.
    await expect(
      Promise.all([store.begin(request), store.begin(request), store.begin(request)]),
    ).rejects.toEqual(unavailable("timeout", "none"));
    server.resume();
    await expect.poll(() => store.begin(request).catch(() => undefined), { timeout: 10_000 }).toEqual(begun);
    await expect.poll(() => pool.waitingCount + pool.totalCount - pool.idleCount).toBe(0);
  });

  it("is killed and started again: what it acknowledged is still there", async () => {
    await using server = await startPostgres({ durable: true });
    const pool = connect(server.url);
    const store = await storeOn(pool);
    const begun = await store.begin(request);
    await server.kill();
    await expect(store.begin({ ...request, key: "while down" })).rejects.toMatchObject({
      reason: "connection",
    });
    await expect(store.begin({ ...request, key: "while down" })).rejects.toEqual(
      unavailable("connection", "none"),
    );
    await server.start();
    expect(await store.begin(request)).toEqual(begun);
    const { rows } = await pool.query("select 1 from holdfast_idempotency where key = 'while down'");
    expect(rows).toEqual([]);
  });

  it("loses the reply to a begin: the same owner asks again and is given the same lease", async () => {
    await using server = await startPostgres();
    await using proxy = await startProxy(server.url);
    const direct = await storeOn(connect(server.url));
    const pool = connect(proxy.url);
    const store = postgresIdempotencyStore({ client: pool });
    await store.begin({ ...request, key: "connected" });
    proxy.dropReplies(1);
    await expect(store.begin(request)).rejects.toEqual(unavailable("connection", "unknown"));
    const begun = await store.begin(request);
    expect(begun).toMatchObject({ kind: "acquired", doubt: false });
    expect(await direct.begin(request)).toEqual(begun);
    expect(await direct.begin({ ...request, owner: "b" })).toMatchObject({ kind: "inFlight" });
  });

  it("freezes in the middle of a transaction: it ends at its deadline, and says whether it may have committed", async () => {
    await using server = await startPostgres();
    const pool = connect(server.url);
    await pool.query("create table notes (n int)");
    const inWork = transaction(
      pool,
      async (tx) => {
        await tx.query("insert into notes values (1)");
        server.pause();
        await tx.query("insert into notes values (2)");
      },
      { deadline: 300 },
    );
    await expect(inWork).rejects.toEqual(unavailable("timeout", "none"));
    server.resume();
    const inCommit = transaction(
      pool,
      async (tx) => {
        await tx.query("insert into notes values (3)");
        server.pause();
      },
      { deadline: 300 },
    );
    await expect(inCommit).rejects.toEqual(unavailable("timeout", "unknown"));
    server.resume();
    await expect.poll(() => pool.totalCount - pool.idleCount).toBe(0);
    const { rows } = await pool.query("select n from notes where n < 3");
    expect(rows).toEqual([]);
  });

  it("ends the session that a call is under way in, and nobody's process dies of it", async () => {
    await using server = await startPostgres();
    const pool = connect(server.url);
    const surprises: Error[] = [];
    pool.on("error", (error) => surprises.push(error));
    const call = pgRunner({ client: pool }).query("select pg_sleep(1), 'to be ended'", []);
    const ended = expect(call).rejects.toEqual(unavailable("shutting_down", "unknown"));
    const end =
      "select pg_terminate_backend(pid) from pg_stat_activity where query like '%to be' || ' ended%'";
    await expect.poll(async () => (await pool.query(end)).rowCount).toBe(1);
    await ended;
    // Without a listener each of these would have ended the process.
    await pool.query("select pg_sleep(0.1)");
    expect(surprises).toEqual([]);
  });
});

describe.skipIf(!startsPostgres)("a PostgreSQL in use", () => {
  let server: Awaited<ReturnType<typeof startPostgres>>;
  beforeAll(async () => {
    server = await startPostgres({ settings: { deadlock_timeout: "50ms" } });
    return () => server.stop();
  });
  const unique = (): BeginRequest => ({ ...request, key: crypto.randomUUID() });

  async function hold(store: PostgresIdempotencyStore, wishes: Partial<BeginRequest> = {}) {
    const wanted = { ...unique(), ...wishes };
    const begun = await store.begin(wanted);
    if (begun.kind !== "acquired") throw new Error(begun.kind);
    return { wanted, lease: { scope: wanted.scope, key: wanted.key, fence: begun.fence } };
  }

  it("has no connection left: calls end in time, send nothing later, and no connection is lost", async () => {
    const pool = connect(server.url, { max: 1 });
    const store = await storeOn(pool, 200);
    const taken = await pool.connect();
    const wanted = unique();
    await expect(store.begin(wanted)).rejects.toEqual(unavailable("timeout", "none"));
    const { rows } = await taken.query("select 1 from holdfast_idempotency where key = $1", [wanted.key]);
    expect(rows).toEqual([]);
    taken.release();
    expect(await store.begin({ ...wanted, owner: "b" })).toMatchObject({ kind: "acquired" });
    expect([pool.totalCount, pool.idleCount, pool.waitingCount]).toEqual([1, 1, 0]);
  });

  it("records a completion exactly if the caller's transaction commits, and holds nobody up meanwhile", async () => {
    const pool = connect(server.url);
    const store = await storeOn(pool);
    const { wanted, lease } = await hold(store);
    const rollback = new Error("roll back");
    const attempt = transaction(pool, async (tx) => {
      expect(await store.checkpoint(lease, { name: "half", data: "1" }, 60_000, { tx })).toBe("ok");
      expect(await store.complete(lease, "done", 60_000, { tx })).toBe("ok");
      expect(await store.renew(lease, 60_000)).toBe("busy");
      expect(await store.begin({ ...wanted, owner: "b" })).toMatchObject({ kind: "inFlight" });
      throw rollback;
    });
    await expect(attempt).rejects.toBe(rollback);
    expect(await store.renew(lease, 60_000)).toBe("ok");
    await transaction(pool, async (tx) => {
      expect(await store.complete(lease, "done", 60_000, { tx })).toBe("ok");
    });
    expect(await store.begin({ ...wanted, owner: "b" })).toEqual({ kind: "replay", result: "done" });
  });

  it("is asked for a key whose lock has run out while its holder's transaction completes it", async () => {
    const pool = connect(server.url);
    const store = await storeOn(pool, 400);
    const { wanted, lease } = await hold(store, { lockTtlMs: 1 });
    await transaction(pool, async (tx) => {
      await store.complete(lease, "done", 60_000, { tx });
      const other = await store.begin({ ...wanted, owner: "b", takeDoubtful: true });
      expect(other).toMatchObject({ kind: "inFlight" });
      await expect(store.fail(lease, true)).rejects.toEqual(unavailable("locked", "none"));
    });
    expect(await store.begin({ ...wanted, owner: "b" })).toEqual({ kind: "replay", result: "done" });
  });

  it("waits for such a transaction when it is about to end", async () => {
    const pool = connect(server.url);
    const store = await storeOn(pool);
    const { wanted, lease } = await hold(store, { lockTtlMs: 1 });
    let asked: Promise<unknown> | undefined;
    await transaction(pool, async (tx) => {
      await store.complete(lease, "done", 60_000, { tx });
      asked = store.begin({ ...wanted, owner: "b", takeDoubtful: true });
      const waiting =
        "select 1 from pg_stat_activity where wait_event_type = 'Lock' and query like '%_begin%'";
      await expect.poll(async () => (await pool.query(waiting)).rowCount).toBe(1);
    });
    expect(await asked).toEqual({ kind: "replay", result: "done" });
  });

  it("leaves the caller's lock_timeout as it was", async () => {
    const pool = connect(server.url);
    const store = await storeOn(pool);
    const { lease } = await hold(store);
    await transaction(
      pool,
      async (tx) => {
        await store.complete(lease, "done", 60_000, { tx });
        expect((await tx.query("show lock_timeout")).rows).toEqual([{ lock_timeout: "7s" }]);
      },
      { lockTimeout: "7s" },
    );
  });

  it("is read-only, or lacks the table: the first is unavailability, the second is a mistake", async () => {
    const pool = connect(server.url);
    await storeOn(pool);
    const readOnly = connect(server.url, { options: "-c default_transaction_read_only=on" });
    const store = postgresIdempotencyStore({ client: readOnly });
    await expect(store.begin(unique())).rejects.toEqual(unavailable("read_only", "none"));
    const other = postgresIdempotencyStore({ client: pool, table: "nowhere" });
    await expect(other.begin(unique())).rejects.toMatchObject({ code: "42883" });
  });

  it("is serializable by default: one of many who ask at a time is given the key all the same", async () => {
    const pool = connect(server.url, { options: "-c default_transaction_isolation=serializable" });
    const store = await storeOn(pool);
    const wanted = unique();
    const answers = await Promise.allSettled(
      Array.from({ length: 8 }, (_, owner) => store.begin({ ...wanted, owner: `${owner}` })),
    );
    const kinds = answers.map((answer) => (answer.status === "fulfilled" ? answer.value.kind : "failed"));
    expect(kinds.filter((kind) => kind === "acquired")).toEqual(["acquired"]);
    for (const answer of answers)
      if (answer.status === "rejected") expect(answer.reason).toEqual(unavailable("conflict", "none"));
  });

  it("is migrated by several at once: each change is applied once, all of them or none", async () => {
    const names = await Promise.all(
      Array.from({ length: 6 }, () =>
        migrate(connect(server.url), [
          { name: "shop:1", statements: ["create table shop (id int)", "insert into shop values (1)"] },
          { name: "shop:2", statements: ["insert into shop values (2)"] },
        ]),
      ),
    );
    expect(names.flat().sort()).toEqual(["shop:1", "shop:2"]);
    const pool = connect(server.url);
    expect((await pool.query("select id from shop order by id")).rows).toEqual([{ id: 1 }, { id: 2 }]);
    const broken = [
      { name: "shop:3", statements: ["insert into shop values (3)", "insert into nowhere values (1)"] },
    ];
    await expect(migrate(pool, broken)).rejects.toThrow("nowhere");
    expect((await pool.query("select id from shop where id = 3")).rows).toEqual([]);
    const stores = Array.from({ length: 6 }, () =>
      postgresIdempotencyStore({ client: connect(server.url), table: "raced" }),
    );
    await Promise.all(stores.map((store) => store.migrate()));
    expect(await stores[0]!.begin(unique())).toMatchObject({ kind: "acquired" });
  });

  it("runs a transaction again after a conflict, only when asked", async () => {
    const pool = connect(server.url);
    await pool.query("create table counter (n int)");
    await pool.query("insert into counter values (0)");
    const conflicting = (retries: number) => {
      let runs = 0;
      return transaction(
        pool,
        async (tx) => {
          runs += 1;
          await tx.query("select n from counter");
          if (runs === 1) await pool.query("update counter set n = n + 1");
          await tx.query("update counter set n = n + 1");
          return runs;
        },
        { isolation: "repeatable read", retries },
      );
    };
    await expect(conflicting(0)).rejects.toMatchObject({ code: "40001" });
    expect(await conflicting(1)).toBe(2);
    expect((await pool.query("select n from counter")).rows).toEqual([{ n: 3 }]);
    await expect.poll(() => pool.totalCount - pool.idleCount).toBe(0);
  });

  it("rolls a transaction back whose signal has aborted, and one whose statement takes too long", async () => {
    const pool = connect(server.url);
    await pool.query("create table notes (n int)");
    const controller = new AbortController();
    const reason = new Error("no longer needed");
    const aborted = transaction(
      pool,
      async (tx) => {
        await tx.query("insert into notes values (1)");
        controller.abort(reason);
      },
      { signal: controller.signal },
    );
    await expect(aborted).rejects.toBe(reason);
    const slow = transaction(pool, (tx) => tx.query("select pg_sleep(10)"), { statementTimeout: 50 });
    await expect(slow).rejects.toMatchObject({ code: "57014" });
    expect((await pool.query("select n from notes")).rows).toEqual([]);
  });

  it("forgets what is over, in batches and in the background, and nothing else", async () => {
    const pool = connect(server.url);
    const store = postgresIdempotencyStore({ client: pool, table: "swept", sweepEvery: 10 });
    await store.migrate();
    const kept = await hold(store);
    for (let key = 0; key < 9; key += 1) await store.begin({ ...unique(), lockTtlMs: 1, ttlMs: 1 });
    await store.begin({ ...unique(), lockTtlMs: 1, ttlMs: 1 });
    await store.close();
    const left = await pool.query("select key from swept");
    expect(left.rowCount).toBeLessThanOrEqual(3);
    const other = postgresIdempotencyStore({ client: pool, table: "swept" });
    await expect.poll(() => other.deleteExpired()).toBe(0);
    expect((await pool.query("select key from swept")).rows).toEqual([{ key: kept.wanted.key }]);
    const again = await hold(other);
    expect(again.lease.fence).toBeGreaterThan(kept.lease.fence);
  });

  it("keeps any text: NUL, half a surrogate pair, quotes, 255 of the worst characters", async () => {
    const store = await storeOn(connect(server.url));
    const worst = "\ud800\u0000".repeat(127);
    for (const text of ["\u0000", "\u0001", "\u00010000", "\ud83d", "'\"\\", worst]) {
      const { lease, wanted } = await hold(store, { scope: text, key: text, fingerprint: text, owner: text });
      expect(await store.checkpoint(lease, { name: text, data: text }, 60_000)).toBe("ok");
      expect(await store.begin(wanted)).toMatchObject({ point: { name: text, data: text } });
      expect(await store.complete(lease, text, 60_000)).toBe("ok");
      expect(await store.begin({ ...wanted, owner: "b" })).toEqual({ kind: "replay", result: text });
    }
  });

  it("takes durations that are no whole milliseconds", async () => {
    const store = await storeOn(connect(server.url));
    const { lease } = await hold(store, { lockTtlMs: 1_000.5, ttlMs: 2_000.7 });
    expect(await store.renew(lease, 1_000.5)).toBe("ok");
    expect(await store.checkpoint(lease, { name: "half", data: "" }, 1_000.5)).toBe("ok");
    expect(await store.complete(lease, "done", 2_000.7)).toBe("ok");
  });

  it("keeps its table in a schema of one's own; names that are none are refused", async () => {
    const pool = connect(server.url);
    await pool.query("create schema app");
    const store = postgresIdempotencyStore({ client: pool, table: "app.keys" });
    await store.migrate();
    await hold(store);
    expect((await pool.query("select count(*)::int as n from app.keys")).rows).toEqual([{ n: 1 }]);
    for (const table of ["", "Keys", "a.b.c", 'x"; drop table y', "x".repeat(41)])
      expect(() => postgresIdempotencyStore({ client: pool, table })).toThrow("table");
  });

  it("leaves neither listeners nor timers behind, and an abort rejects with the signal's own reason", async () => {
    const clock = manualClock();
    const controller = new AbortController();
    const { signal } = controller;
    const pool = connect(server.url, { max: 3 });
    const check = leakCheck({ signals: [signal], clocks: [clock] });
    const runner = pgRunner({ client: pool, clock });
    await Promise.all(Array.from({ length: 30 }, () => runner.query("select 1", [], { signal })));
    check.assertNone();
    const connections = await Promise.all([pool.connect(), pool.connect(), pool.connect()]);
    const listeners = connections.map((connection) => connection.listenerCount("error"));
    expect(new Set(listeners).size).toBe(1);
    expect(listeners[0]).toBeLessThanOrEqual(1);
    for (const connection of connections) connection.release();
    const reason = new Error("no longer needed");
    const slow = runner.query("select pg_sleep(30)", [], { signal }).catch((error: unknown) => error);
    await expect.poll(() => pool.idleCount).toBe(2);
    controller.abort(reason);
    expect(await slow).toBe(reason);
    check.assertNone();
    await expect.poll(() => pool.totalCount - pool.idleCount).toBe(0);
    runner.close();
    await expect(runner.query("select 1", [])).rejects.toThrow("closed");
  });
});
