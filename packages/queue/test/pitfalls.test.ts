// What users of other queues were hit by, as tests; those that are not here are tagged with their number where they are.
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { defineTask, handle, PermanentError } from "@holdfast/queue";
import { describe, expect, it } from "vitest";
import { bench, gate } from "./bench.ts";

const work = defineTask<number, number, number>({ name: "work", timeout: "2h" });
const RESULT = { text: "1", blobs: [] };

describe("a queue", () => {
  it("[pitfall 1] misses no lease of tasks that are over at once", async () => {
    const at = bench();
    const refused: unknown[] = [];
    const note = (message: unknown): void => {
      if (!(message as { readonly written: boolean }).written) refused.push(message);
    };
    subscribe("holdfast:queue:run_ended", note);
    await using _ = at.work([handle(work, ({ input }) => input)], { lease: "30ms", concurrency: 50 });
    await at.queue.enqueueMany(
      work,
      Array.from({ length: 2_000 }, (__, input) => ({ input })),
    );
    await at.clock.advance("1s");
    unsubscribe("holdfast:queue:run_ended", note);
    expect(await at.queue.stats()).toMatchObject({ completed: 2_000, running: 0 });
    expect(refused).toEqual([]);
  });

  it("[pitfall 2] lets an ID be used again whose zombie says that it has failed", async () => {
    const at = bench();
    await at.queue.enqueue(work, 1, { id: "one" });
    const [zombie] = await at.store.claim("bench", { worker: "zombie", max: 1, leaseMs: 1_000 });
    await at.clock.advance("1s");
    const [heir] = await at.store.claim("bench", { worker: "heir", max: 1, leaseMs: 1_000 });
    await at.store.settle("bench", [{ id: "one", fence: heir!.fence, kind: "complete", result: RESULT }]);
    expect(await at.queue.discard("one")).toBe(1);
    const { outcomes } = await at.store.settle("bench", [
      { id: "one", fence: zombie!.fence, kind: "fail", error: { code: "X", message: "late" } },
    ]);
    expect(outcomes).toEqual([{ written: false, cause: "lease_lost" }]);
    await expect(at.queue.status("one")).rejects.toMatchObject({ code: "TASK_NOT_FOUND" });
    expect(await at.queue.enqueue(work, 2, { id: "one" })).toEqual({ id: "one", duplicate: false });
  });

  it("[pitfall 3] keeps the lease of a task that has just begun", async () => {
    const at = bench();
    const held = gate<number>();
    await using _ = at.work([handle(work, () => held.promise)], { lease: "30s" });
    const { id } = await at.queue.enqueue(work, 1);
    for (let second = 0; second < 120; second += 1) {
      await at.clock.advance("1s");
      expect(await at.queue.status(id)).toMatchObject({ state: "running", leaseLosses: 0 });
    }
    held.open(1);
    expect(await at.queue.wait(work, id)).toBe(1);
  });

  it.each(["completed", "failed", "cancelled"] as const)(
    "[pitfall 8] frees the dedup key of a task that has %s, and of no other",
    async (state) => {
      const at = bench();
      const { id } = await at.queue.enqueue(work, 1, { dedupKey: "key" });
      expect(await at.queue.enqueue(work, 2, { dedupKey: "key" })).toEqual({ id, duplicate: true });
      const [lease] = await at.store.claim("bench", { worker: "w", max: 1, leaseMs: 1_000 });
      const error = { code: "X", message: "no" };
      if (state === "cancelled") await at.queue.cancel(id);
      else
        await at.store.settle("bench", [
          state === "completed"
            ? { ...lease!, kind: "complete", result: RESULT }
            : { ...lease!, kind: "fail", error },
        ]);
      expect((await at.queue.status(id)).state).toBe(state);
      expect((await at.queue.enqueue(work, 3, { dedupKey: "key" })).duplicate).toBe(false);
    },
  );

  it("[pitfall 11] goes on when whoever listens to it throws, and keeps none of it", async () => {
    const at = bench();
    const thrown: unknown[] = [];
    const onUncaught = (error: unknown): void => void thrown.push(error);
    const listeners = process.listeners("uncaughtException");
    process.removeAllListeners("uncaughtException").on("uncaughtException", onUncaught);
    const fail = (): never => {
      throw new Error("a listener's own fault");
    };
    subscribe("holdfast:queue:run_ended", fail);
    try {
      await using _ = at.work([handle(work, ({ input }) => input)]);
      const { id } = await at.queue.enqueue(work, 7);
      await at.clock.advance("1s");
      expect(await at.queue.wait(work, id)).toBe(7);
      await new Promise((resolve) => setImmediate(resolve));
    } finally {
      unsubscribe("holdfast:queue:run_ended", fail);
      process.removeAllListeners("uncaughtException");
      for (const listener of listeners) process.on("uncaughtException", listener);
    }
    // Told to the process, which decides; not swallowed.
    expect(thrown).toEqual([new Error("a listener's own fault")]);
  });

  it("[pitfall 16] is not wedged by a group whose worker has died: the next in line follows the heir", async () => {
    const at = bench();
    for (const input of [1, 2]) await at.queue.enqueue(work, input, { group: "g" });
    await at.store.claim("bench", { worker: "dead", max: 2, leaseMs: 30_000 });
    const order: number[] = [];
    await using _ = at.work([handle(work, ({ input }) => (order.push(input), input))]);
    await at.clock.advance("29s");
    expect(order).toEqual([]);
    await at.clock.advance("2s");
    expect(order).toEqual([1, 2]);
  });

  it("[pitfall 17] leaves what has completed alone when the lease it had comes to its end", async () => {
    const at = bench();
    const { id } = await at.queue.enqueue(work, 1);
    const [lease] = await at.store.claim("bench", { worker: "w", max: 1, leaseMs: 1_000 });
    await at.store.settle("bench", [{ ...lease!, kind: "complete", result: RESULT }]);
    const before = await at.queue.status(id);
    await at.clock.advance("1m");
    expect(await at.queue.status(id)).toEqual(before);
  });

  it("[pitfall 20] has every place of a limited group taken, in the same call that has freed it", async () => {
    const at = bench();
    const group = { key: "g", concurrency: 10 };
    await at.queue.enqueueMany(
      work,
      Array.from({ length: 100 }, (_, input) => ({ input, group })),
    );
    let held = await at.store.claim("bench", { worker: "w", max: 50, leaseMs: 60_000 });
    for (let round = 0; round < 9; round += 1) {
      expect(held).toHaveLength(10);
      const done = held.map((lease) => ({ ...lease, kind: "complete" as const, result: RESULT }));
      const claim = { worker: "w", max: 50, leaseMs: 60_000 };
      held = (await at.store.settle("bench", done, claim)).claimed;
    }
    expect(held).toHaveLength(10);
  });

  it("[pitfall 21] runs a task of 47 minutes once, with leases of 30 seconds", async () => {
    const at = bench();
    let runs = 0;
    const slow = handle(work, async ({ input, signal }) => {
      runs += 1;
      await at.clock.sleep(47 * 60_000, signal);
      return input;
    });
    await using _ = at.work([slow], { lease: "30s" });
    await using other = at.work([slow], { lease: "30s" });
    const { id } = await at.queue.enqueue(work, 5);
    await at.clock.advance("48m");
    expect(await at.queue.wait(work, id)).toBe(5);
    expect([runs, other.running]).toEqual([1, 0]);
  });

  it("[pitfall 23] takes nobody for dead before the lease has ended, and everybody at its end", async () => {
    const at = bench();
    await at.queue.enqueue(work, 1);
    const take = (worker: string): ReturnType<typeof at.store.claim> =>
      at.store.claim("bench", { worker, max: 1, leaseMs: 30_000 });
    await take("first");
    await at.clock.advance(29_999);
    expect(await take("second")).toEqual([]);
    await at.clock.advance(1);
    expect(await take("second")).toHaveLength(1);
  });

  it("[pitfall 25] gives a lost task to one of those who come for it, under a higher fence", async () => {
    const at = bench();
    await at.queue.enqueue(work, 1);
    const take = (worker: string): ReturnType<typeof at.store.claim> =>
      at.store.claim("bench", { worker, max: 1, leaseMs: 1_000 });
    const [first] = await take("first");
    await at.clock.advance("1s");
    const heirs = (await Promise.all(["a", "b", "c"].map(take))).flat();
    expect(heirs).toHaveLength(1);
    expect(heirs[0]!.fence).toBeGreaterThan(first!.fence);
  });

  it("[pitfall 27] holds a dedup key no longer than its task lives, though its worker has died", async () => {
    const at = bench();
    const { id } = await at.queue.enqueue(work, 1, { dedupKey: "key" });
    await at.store.claim("bench", { worker: "dead", max: 1, leaseMs: 30_000 });
    await using _ = at.work([handle(work, ({ input }) => input)]);
    await at.clock.advance("31s");
    expect((await at.queue.status(id)).state).toBe("completed");
    expect((await at.queue.enqueue(work, 2, { dedupKey: "key" })).duplicate).toBe(false);
  });

  it("[must-survive 30] buries a poisonous payload once, at its first try", async () => {
    const at = bench();
    let runs = 0;
    await using _ = at.work([
      handle(work, () => {
        runs += 1;
        throw new PermanentError("it cannot be read");
      }),
    ]);
    const { id } = await at.queue.enqueue(work, 1);
    await at.clock.advance("1h");
    expect((await at.queue.deadLetters()).map((letter) => letter.id)).toEqual([id]);
    expect(runs).toBe(1);
  });

  it("[must-survive 31] adds one of many tasks that come with one ID at the same time", async () => {
    const at = bench();
    const outcomes = await Promise.allSettled(
      Array.from({ length: 50 }, (_, input) => at.queue.enqueue(work, input, { id: "one" })),
    );
    expect(outcomes.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
    expect(await at.queue.stats()).toMatchObject({ ready: 1 });
  });
});
