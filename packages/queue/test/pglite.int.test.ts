// A PGlite runs in its caller's own thread, and answers without letting go of it.
import { PGlite } from "@electric-sql/pglite";
import type { Queue } from "@holdfast/queue";
import { defineTask, handle, queue, worker } from "@holdfast/queue";
import type { PostgresTaskStore } from "@holdfast/queue/postgres";
import { postgresTaskStore } from "@holdfast/queue/postgres";
import { afterAll, beforeAll, expect, it } from "vitest";

const job = defineTask<number, number, number>({ name: "job" });
let client: PGlite;
let store: PostgresTaskStore;
beforeAll(async () => {
  client = await PGlite.create();
  store = postgresTaskStore({ client });
  await store.migrate();
  // It takes most of a minute to begin where others use the processor.
}, 180_000);
afterAll(async () => {
  await store?.close();
  await client?.close();
});

async function filled(name: string): Promise<Queue> {
  const tasks = queue({ name, store });
  await tasks.enqueueMany(
    job,
    Array.from({ length: 300 }, (_, input) => ({ input })),
  );
  return tasks;
}

it("lets timers and I/O of the process have their turn while one question follows the other", async () => {
  const tasks = await filled("asked");
  let asked = 0;
  const [atTimer, atTurn] = [
    new Promise<number>((resolve) => setTimeout(() => resolve(asked), 0)),
    new Promise<number>((resolve) => setImmediate(() => resolve(asked))),
  ];
  for (; asked < 50; asked += 1) await tasks.stats();
  expect(await atTurn).toBeLessThan(5);
  expect(await atTimer).toBeLessThan(50);
});

it("keeps to the time that a drain has while a worker has all its hands full, and drains when it has more", async () => {
  const tasks = await filled("drained");
  const working = worker(tasks, [handle(job, ({ input }) => input)], { concurrency: 2 });
  try {
    const { drained, stats } = await tasks.drain({ within: "20ms" });
    expect(drained).toBe(false);
    expect(stats.ready).toBeGreaterThan(0);
    expect(await tasks.drain({ within: "50s" })).toMatchObject({ drained: true, stats: { completed: 300 } });
  } finally {
    await working.close({ within: "1s" });
  }
});
