// A store that keeps 200 ended tasks: what goes when there are more.
import { setTimeout as sleep } from "node:timers/promises";
import type { QueueStore } from "@holdfast/queue";
import { defineTask, queue } from "@holdfast/queue";
import { expect } from "vitest";

const double = defineTask<number, number, number>({ name: "double" });

/** @param store - With a bound of 200. */
export async function makesRoomForAHundredth(store: QueueStore): Promise<void> {
  const bounded = queue({ name: "room", store });
  const end = async (count: number, from: number): Promise<void> => {
    await bounded.enqueueMany(
      double,
      Array.from({ length: count }, (_, at) => ({ input: 1, id: `task-${from + at}` })),
    );
    const claimed = await store.claim("room", { worker: "w", max: count, leaseMs: 60_000 });
    const done = claimed.map(({ id, fence }) => ({
      id,
      fence,
      kind: "complete" as const,
      result: { text: "1", blobs: [] },
    }));
    await store.settle("room", done);
  };
  await end(100, 0);
  await sleep(5);
  await end(100, 100);
  expect(await store.stats("room")).toMatchObject({ completed: 200 });
  await end(1, 200);
  expect(await store.stats("room")).toMatchObject({ completed: 198 });
  const kept = await store.get("room", ["task-100", "task-199", "task-200"]);
  expect(kept.map((status) => status?.state)).toEqual(["completed", "completed", "completed"]);
  await end(2, 201);
  expect(await store.stats("room")).toMatchObject({ completed: 200 });
}
