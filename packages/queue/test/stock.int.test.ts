// An idempotent consumer: paid orders that are told of more than once, by workers that die in the middle.
import type { ChildProcess } from "node:child_process";
import { fork } from "node:child_process";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { defineTask, hasEnded, queue } from "@holdfast/queue";
import { postgresTaskStore } from "@holdfast/queue/postgres";
import pg from "pg";
import { expect, inject, it, onTestFinished } from "vitest";
import { freshDatabase } from "../../../tools/services/index.mjs";
import { row } from "../../../tools/systems/row.mjs";

const WORKER = fileURLToPath(new URL("./fixtures/stock-worker.mjs", import.meta.url));
const ORDERS = 60;
const PIECES = 100;
const databaseUrl = inject("databaseUrl");

interface Paid {
  readonly order: string;
  readonly item: string;
}
const orderPaid = defineTask<Paid, Paid, boolean>({ name: "order_paid", attempts: 100, leaseLosses: 1_000 });

it.skipIf(databaseUrl === "")(
  row(
    141,
    "changes the stock once for an order that is told of twice, also when workers are killed in the middle",
  ),
  { timeout: 60_000 },
  async () => {
    const database = await freshDatabase(databaseUrl);
    const pool = new pg.Pool({ connectionString: database.url });
    pool.on("error", () => {});
    await pool.query("create table stock (item text primary key, pieces int not null)");
    await pool.query("create table processed (order_id text primary key)");
    await pool.query("create table runs (order_id text)");
    await pool.query("insert into stock values ('lamp', $1), ('chair', $1)", [PIECES]);
    const store = postgresTaskStore({ client: pool, poll: "300ms" });
    const orders = queue({ name: "orders", store });
    const workers: ChildProcess[] = [];
    onTestFinished(async () => {
      for (const one of workers) one.kill("SIGKILL");
      await store.close();
      await pool.end();
      await database.drop();
    });
    const startWorker = async (at: number): Promise<void> => {
      workers[at] = fork(WORKER, [database.url, "500"]);
      await once(workers[at], "message");
    };

    const told = Array.from({ length: ORDERS }, (_, n) => {
      const paid: Paid = { order: `order-${n}`, item: n % 2 === 0 ? "lamp" : "chair" };
      return [{ input: paid }, { input: paid }];
    });
    const ids = (await orders.enqueueMany(orderPaid, told.flat())).map(({ id }) => id);
    await Promise.all([startWorker(0), startWorker(1)]);
    for (let kill = 0; kill < 6; kill += 1) {
      await sleep(60);
      workers[kill % 2]!.kill("SIGKILL");
      await startWorker(kill % 2);
    }
    const allEnded = async (): Promise<boolean> =>
      (await store.get("orders", ids)).every((status) => status !== undefined && hasEnded(status));
    await expect.poll(allEnded, { timeout: 30_000 }).toBe(true);

    const results = await Promise.all(ids.map((id) => orders.wait(orderPaid, id)));
    expect(results.filter((isFirst) => isFirst)).toHaveLength(ORDERS);
    const { rows } = await pool.query("select item, pieces from stock order by item");
    const left = PIECES - ORDERS / 2;
    expect(rows).toEqual([
      { item: "chair", pieces: left },
      { item: "lamp", pieces: left },
    ]);
    // What did not commit was never there.
    expect((await pool.query("select * from runs")).rowCount).toBe(ids.length);
    const losses = (await store.get("orders", ids)).map((status) => status!.leaseLosses);
    console.log(`${ids.length} messages, ${losses.reduce((sum, one) => sum + one)} of them cut by a kill`);
  },
);
