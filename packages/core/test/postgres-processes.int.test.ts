import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import { beforeAll, describe, expect, inject, it } from "vitest";
import { idempotency } from "@holdfast/core";
import { postgresIdempotencyStore, transaction } from "@holdfast/core/postgres";
import { freshDatabase } from "../../../tools/services/index.mjs";
import type { StorePlace } from "./support/idempotent-processes.ts";
import { killAtWork, raceProcesses } from "./support/idempotent-processes.ts";

const databaseUrl = inject("databaseUrl");
const TABLE = "holdfast_idempotency";
const KEYS = 200;

describe.skipIf(databaseUrl === "")("processes that share keys in PostgreSQL", () => {
  let place: StorePlace;
  let client: pg.Pool;
  beforeAll(async () => {
    const database = await freshDatabase(databaseUrl);
    place = ["postgres", database.url, TABLE];
    client = new pg.Pool({ connectionString: database.url });
    // Its database is dropped with force, maybe before the last connection has ended.
    client.on("error", () => {});
    await postgresIdempotencyStore({ client }).migrate();
    await client.query("create table effects (key text)");
    return async () => {
      await client.end();
      await database.drop();
    };
  });

  it("have exactly one effect for each of 200 keys, whoever comes first", async () => {
    const counts = await raceProcesses(place, 2, KEYS);
    expect(counts.reduce((sum, count) => sum + count, 0)).toBe(KEYS);
    const { rows } = await client.query(
      "select count(*)::int as effects, count(distinct key)::int as keys from effects",
    );
    expect(rows).toEqual([{ effects: KEYS, keys: KEYS }]);
  });

  it("leave a key in doubt when they are killed at work, and whoever takes it is told", async () => {
    await killAtWork(place, "killed");
    const store = postgresIdempotencyStore({ client });
    const work = idempotency({ store, scope: "work" });
    const again = () => work.run({ key: "killed" }, () => "again");
    await expect(again()).rejects.toMatchObject({ code: "IDEMPOTENCY_IN_FLIGHT" });
    await sleep(1_100);
    await expect(again()).rejects.toMatchObject({ code: "IDEMPOTENCY_IN_DOUBT" });
    const brave = idempotency({ store, scope: "work", onInDoubt: "run" });
    const { value } = await brave.run({ key: "killed" }, ({ doubt }) => ({ doubt }));
    expect(value).toEqual({ doubt: true });
  });

  it("have an effect and its record together or not at all, in one transaction", async () => {
    const store = postgresIdempotencyStore({ client });
    const work = idempotency({ store, scope: "tx" });
    const book = (key: string, fails: boolean) =>
      transaction(client, async (tx) => {
        const booked = await work.run({ key, tx }, async () => {
          await tx.query("insert into effects values ('booking')");
          return "booked";
        });
        if (fails) throw new Error("roll back");
        return booked;
      });
    await expect(book("1", true)).rejects.toThrow("roll back");
    const count = async () =>
      (await client.query("select count(*)::int as n from effects where key = 'booking'")).rows as unknown[];
    expect(await count()).toEqual([{ n: 0 }]);
    expect(await book("2", false)).toEqual({ value: "booked", replayed: false, stored: true });
    expect(await book("2", false)).toEqual({ value: "booked", replayed: true, stored: true });
    expect(await count()).toEqual([{ n: 1 }]);
  });
});
