// Thousands of things that happen by themselves at one time, to a queue that is used meanwhile.
import { setTimeout as sleep } from "node:timers/promises";
import type { EnqueueOptions, Queue } from "@holdfast/queue";
import { defineTask } from "@holdfast/queue";
import { expect } from "vitest";

const work = defineTask<number, number, number>({ name: "work" });
const MANY = 3_000;

/** No call fails while leases end, delays and times are over; and all of it happens. */
export async function outlivesManyDue(tasks: Queue): Promise<void> {
  const { name, store } = tasks;
  const add = (optionsOf: (number: number) => EnqueueOptions): Promise<unknown> =>
    tasks.enqueueMany(
      work,
      Array.from({ length: MANY }, (_, number) => ({ input: number, ...optionsOf(number) })),
    );
  await add((number) => (number % 2 === 0 ? {} : { group: `lost-${number}` }));
  for (let claimed = 0; claimed < MANY;)
    claimed += (await store.claim(name, { worker: "dead", max: 1_000, leaseMs: 4_000 })).length;
  await add(() => ({ expiresIn: "3s" }));
  await add((number) => ({ delay: "3s", group: `delayed-${number}` }));
  await sleep(4_100);
  for (;;) {
    const [{ scheduled, running, cancelled }] = await Promise.all([tasks.stats(), tasks.enqueue(work, 0)]);
    if (scheduled + running === 0 && cancelled === MANY) break;
    await sleep(20);
  }
  expect((await tasks.stats()).ready).toBeGreaterThan(2 * MANY);
}
