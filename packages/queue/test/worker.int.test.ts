import { systemClock } from "@holdfast/core";
import { defineTask, handle, memoryStore, queue, worker } from "@holdfast/queue";
import { describe, expect, it } from "vitest";
import { row } from "../../../tools/systems/row.mjs";

describe("a worker on real time", () => {
  it("[must-survive 29] takes no result of a handler that blocked the event loop for longer than its lease", async () => {
    const store = memoryStore();
    const tasks = queue({ name: "tasks", store });
    const block = defineTask<string, string, string>({ name: "block" });
    const fences: number[] = [];
    const working = worker(
      tasks,
      [
        handle(block, ({ fence }) => {
          fences.push(fence);
          const until = systemClock.monotonic() + (fences.length === 1 ? 300 : 0);
          while (systemClock.monotonic() < until);
          return `run ${fences.length}`;
        }),
      ],
      { lease: 100, grace: 0 },
    );
    const { id } = await tasks.enqueue(block, "x");
    expect(await tasks.wait(block, id)).toBe("run 2");
    expect(await tasks.status(id)).toMatchObject({ leaseLosses: 1, attempt: 1 });
    expect(fences[1]).toBeGreaterThan(fences[0]!);
    await working.close();
    await store.close();
  });

  it(row([78, 81], "works off many tasks beside others, each once, with retries in between"), async () => {
    const store = memoryStore();
    const tasks = queue({ name: "tasks", store });
    const flaky = defineTask<number, number, number>({
      name: "flaky",
      attempts: 5,
      backoff: { summary: "a few milliseconds", next: (failures) => ({ delayMs: failures * 2, state: 0 }) },
    });
    const ended = new Map<string, number>();
    const handler = handle(flaky, async ({ id, input, attempt }) => {
      await systemClock.sleep(input % 3);
      if (attempt <= input % 3) throw new Error("not yet");
      ended.set(id, (ended.get(id) ?? 0) + 1);
      return input;
    });
    const workers = [1, 2, 3].map((concurrency) =>
      worker(tasks, [handler], { concurrency: concurrency * 5 }),
    );
    const added = await tasks.enqueueMany(
      flaky,
      Array.from({ length: 500 }, (_, input) => ({ input })),
    );
    expect(await Promise.all(added.map(({ id }) => tasks.wait(flaky, id)))).toEqual(
      added.map((_, input) => input),
    );
    expect([...ended.values()].every((times) => times === 1)).toBe(true);
    expect(await tasks.stats()).toMatchObject({ completed: 500, failed: 0, running: 0 });
    for (const working of workers) await working.close();
    await store.close();
  });
});
