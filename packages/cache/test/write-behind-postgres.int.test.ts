import { setTimeout as sleep } from "node:timers/promises";
import { writeBehind } from "@holdfast/cache";
import { postgresWriteLog, postgresWriteLogMigrations } from "@holdfast/cache/postgres";
import { writeLogConformance } from "@holdfast/cache/testing";
import { constant } from "@holdfast/core";
import { migrate } from "@holdfast/core/postgres";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { freshDatabase, startPostgres } from "../../../tools/services/index.mjs";
import { row } from "../../../tools/systems/row.mjs";

const databaseUrl = inject("databaseUrl");

function poolOf(url: string): pg.Pool {
  const pool = new pg.Pool({ connectionString: url });
  pool.on("error", () => {});
  return pool;
}

describe.skipIf(databaseUrl === "")("postgresWriteLog", () => {
  let database: Awaited<ReturnType<typeof freshDatabase>>;
  let pool: pg.Pool;
  let logs = 0;
  const open = (name = `log-${(logs += 1)}`) => postgresWriteLog({ client: pool, name, deadline: "10s" });
  beforeAll(async () => {
    database = await freshDatabase(databaseUrl);
    pool = poolOf(database.url);
    await Promise.all([open().migrate(), open().migrate()]);
  });
  afterAll(async () => {
    await pool.end();
    await database.drop();
  });

  writeLogConformance({ describe, it }, { make: () => open(), advance: sleep, unitMs: 500 });

  it("keeps logs of different names apart, in one table or in several", async () => {
    const other = postgresWriteLog({ client: pool, name: "one", table: "other_log" });
    expect(await migrate(pool, postgresWriteLogMigrations("other_log"))).toEqual(["write-log:other_log:1"]);
    const [one, two] = [open("one"), open("two")];
    await one.append({ key: "a", value: "1", delayMs: 0, maxKeys: 1 });
    await two.append({ key: "a", value: "2", delayMs: 0, maxKeys: 1 });
    await other.append({ key: "a", value: "3", delayMs: 0, maxKeys: 1 });
    expect(await Promise.all([one, two, other].map((log) => log.read("a")))).toEqual(["1", "2", "3"]);
    const { claims } = await two.claim({ limit: 10, leaseMs: 1_000, early: true });
    expect(claims.map(({ value }) => value)).toEqual(["2"]);
  });

  it("waits for a row that somebody has locked no longer than its deadline allows", async () => {
    const log = postgresWriteLog({ client: pool, name: "locked", deadline: 400 });
    const append = { key: "a", value: "1", delayMs: 0, maxKeys: 10 };
    await log.append(append);
    const client = await pool.connect();
    await client.query("begin");
    await client.query("select 1 from holdfast_write_log where log = 'locked' for update");
    await expect(log.append(append)).rejects.toMatchObject({
      code: "STORE_UNAVAILABLE",
      reason: "locked",
      outcome: "none",
    });
    // It is not waited for, but passed over.
    expect((await log.claim({ limit: 1, leaseMs: 1_000, early: false })).claims).toEqual([]);
    await client.query("rollback");
    client.release();
    expect((await log.append(append)).kind).toBe("appended");
  });

  it("lets several processes write behind with one log: each value is written once, in order of its key", async () => {
    const history = new Map<string, number[]>();
    const active = new Set<string>();
    const problems: string[] = [];
    const fleet = Array.from({ length: 3 }, () =>
      writeBehind<string, number>({
        log: open("fleet"),
        delay: 5,
        pollInterval: 20,
        write: async (key, value) => {
          if (active.has(key)) problems.push(`${key} is written twice at a time`);
          active.add(key);
          await sleep(3);
          active.delete(key);
          history.set(key, [...(history.get(key) ?? []), value]);
        },
      }),
    );
    for (let value = 1; value <= 30; value += 1)
      await Promise.all(["a", "b", "c", "d"].map((key, at) => fleet[(value + at) % 3]!.write(key, value)));
    await Promise.all(fleet.map((one) => one.close()));
    expect(problems).toEqual([]);
    expect(history.size).toBe(4);
    for (const values of history.values()) {
      expect(values).toEqual(values.toSorted((a, b) => a - b));
      expect(values.at(-1)).toBe(30);
    }
  });
});

describe.skipIf(!inject("startsPostgres"))("postgresWriteLog on a PostgreSQL that is killed", () => {
  it(row(62, "loses nothing that was acknowledged, and goes on when the server is back"), async () => {
    await using server = await startPostgres({ durable: true });
    const pool = poolOf(server.url);
    const log = postgresWriteLog({ client: pool, name: "killed", deadline: "1s" });
    await log.migrate();
    const source = new Map<string, number>();
    const behind = writeBehind<string, number>({
      log,
      delay: 10,
      pollInterval: 30,
      lease: "1s",
      backoff: constant(10),
      write: async (key, value) => {
        await sleep(2);
        source.set(key, value);
      },
    });
    const acknowledged = new Map<string, number>();
    const attempted = new Map<string, number>();
    const over = new AbortController();
    const writers = ["a", "b", "c", "d"].map(async (key) => {
      for (let value = 1; !over.signal.aborted; value += 1) {
        attempted.set(key, value);
        await behind.write(key, value).then(
          () => acknowledged.set(key, value),
          () => sleep(5),
        );
      }
    });
    for (let kill = 0; kill < 2; kill += 1) {
      const before = acknowledged.get("a") ?? 0;
      while ((acknowledged.get("a") ?? 0) <= before + 20) await sleep(5);
      await server.kill();
      await server.start();
    }
    over.abort();
    await Promise.all(writers);
    const flushed = (): Promise<boolean> =>
      behind.flush().then(
        () => true,
        () => false,
      );
    while (!(await flushed())) await sleep(20);
    expect(behind.snapshot().logFailures).toBeGreaterThan(0);
    expect(acknowledged.size).toBe(4);
    for (const [key, value] of acknowledged) {
      expect(source.get(key)).toBeGreaterThanOrEqual(value);
      expect(source.get(key)).toBeLessThanOrEqual(attempted.get(key)!);
    }
    expect(await behind.close()).toBe(0);
    await pool.end();
  });
});
