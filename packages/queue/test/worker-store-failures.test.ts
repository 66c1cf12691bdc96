import { channel } from "@holdfast/core";
import type { WorkerErrorEvent } from "@holdfast/queue";
import { defineTask, handle } from "@holdfast/queue";
import type { Fault } from "@holdfast/core/testing";
import { faulty, seededRandom } from "@holdfast/core/testing";
import { describe, expect, it } from "vitest";
import type { Bench } from "./bench.ts";
import { bench, closed } from "./bench.ts";

const double = defineTask<number, number, number>({ name: "double", attempts: 1 });
const doubling = handle(double, ({ input }) => input * 2);

/** A store that goes wrong as `plan` says, by method and how often that was called. */
function failing(plan: (method: string, count: number) => Fault | undefined): Bench {
  const plain = bench();
  const counts = new Map<string, number>();
  const store = faulty(plain.store, {
    plan: ({ method }) => {
      const count = counts.get(method) ?? 0;
      counts.set(method, count + 1);
      return plan(method, count);
    },
    clock: plain.clock,
    random: seededRandom(7),
  });
  return bench({ store, clock: plain.clock });
}

describe("a worker whose store fails", () => {
  it("[pitfall 12] at boot waits and goes on: nothing is thrown where nobody catches it", async () => {
    const { queue, clock, work } = failing((method, count) =>
      (method === "claim" || method === "waitForRevoked") && count < 5 ? { kind: "error" } : undefined,
    );
    const errors: WorkerErrorEvent[] = [];
    const stop = channel<WorkerErrorEvent>("queue", "worker_error").subscribe((event) => errors.push(event));
    await using _ = work([doubling]);
    const { id } = await queue.enqueue(double, 21);
    await clock.advance("1m");
    expect(await queue.wait(double, id)).toBe(42);
    stop();
    expect(errors.filter(({ doing }) => doing === "claim")).toHaveLength(5);
    expect(errors.filter(({ doing }) => doing === "revoked")).toHaveLength(5);
    expect(errors[0]!.error.message).toContain("ECONNREFUSED");
  });

  it("while it waits for work finds what was added in the meantime", async () => {
    const { queue, clock, work } = failing((method, count) =>
      method === "waitForWork" && count < 3 ? { kind: "error" } : undefined,
    );
    await using _ = work([doubling]);
    await clock.advance(50);
    const { id } = await queue.enqueue(double, 4);
    await clock.advance("30s");
    expect(await queue.wait(double, id)).toBe(8);
  });

  it("to wake it finds what was added all the same, after the time of a lease", async () => {
    const { queue, clock, work } = failing((method) =>
      method === "waitForWork" ? { kind: "hang" } : undefined,
    );
    await using _ = work([doubling], { lease: "5s" });
    await clock.advance(50);
    const { id } = await queue.enqueue(double, 4);
    await clock.advance("5s");
    expect(await queue.wait(double, id)).toBe(8);
  });

  it.each(["claim", "settle", "report"])(
    "to answer one %s() at all goes on after the time of a lease",
    async (method) => {
      let isHung = false;
      const { queue, clock, work } = failing((called) =>
        isHung && called === method ? { kind: "hang" } : undefined,
      );
      await using working = work([handle(double, ({ input, progress }) => (void progress(1), input * 2))], {
        lease: "5s",
        concurrency: 1,
      });
      await clock.advance(50);
      isHung = true;
      const { id } = await queue.enqueue(double, 4);
      await clock.advance(50);
      isHung = false;
      await clock.advance("10s");
      expect(await queue.wait(double, id)).toBe(8);
      const next = await queue.enqueue(double, 5);
      await clock.advance("10s");
      expect(await queue.wait(double, next.id)).toBe(10);
      expect(working.running).toBe(0);
    },
  );

  it("to take an outcome is asked again, for as long as the lease lasts", async () => {
    const { queue, clock, work } = failing((method, count) =>
      method === "settle" && count < 4 ? { kind: "error" } : undefined,
    );
    let runs = 0;
    await using _ = work([handle(double, ({ input }) => ((runs += 1), input * 2))]);
    const { id } = await queue.enqueue(double, 21);
    await clock.advance("20s");
    expect(await queue.wait(double, id)).toBe(42);
    expect(runs).toBe(1);
  });

  it("to answer about an outcome that it has taken does not complete the task twice", async () => {
    const { queue, clock, work } = failing((method, count) =>
      method === "settle" && count === 0 ? { kind: "lost-reply" } : undefined,
    );
    await using working = work([doubling]);
    const { id } = await queue.enqueue(double, 21);
    await clock.advance("20s");
    expect(await queue.wait(double, id)).toBe(42);
    expect(working.running).toBe(0);
    const types: string[] = [];
    for await (const { type } of queue.events(id)) types.push(type);
    expect(types).toEqual(["enqueued", "started", "completed"]);
  });

  it("to answer a claim frees what was claimed when its lease ends", async () => {
    const { queue, clock, work } = failing((method, count) =>
      method === "claim" && count === 1 ? { kind: "lost-reply" } : undefined,
    );
    await using _ = work([doubling], { lease: "5s" });
    await clock.advance(10);
    const { id } = await queue.enqueue(double, 21);
    await clock.advance("1m");
    expect(await queue.wait(double, id)).toBe(42);
    expect((await queue.status(id)).leaseLosses).toBe(1);
  });

  it("to take progress does not fail the task", async () => {
    const { queue, clock, work } = failing((method) => (method === "report" ? { kind: "error" } : undefined));
    const refusals: unknown[] = [];
    await using _ = work([
      handle(double, async ({ input, progress }) => {
        void progress(1);
        await progress(2).catch((error: unknown) => refusals.push(error));
        return input * 2;
      }),
    ]);
    const { id } = await queue.enqueue(double, 21);
    await clock.advance(10);
    expect(await queue.wait(double, id)).toBe(42);
    expect(refusals).toHaveLength(1);
  });

  it("now and then, in every way, loses no task and runs none to two ends", async () => {
    const random = seededRandom(42);
    const kinds = ["error", "lost-reply", "dropped-connection"] as const;
    let isOver = false;
    const { queue, clock, work } = failing((method) => {
      if (isOver || method === "enqueue" || random() > 0.3) return undefined;
      return { kind: kinds[Math.floor(random() * kinds.length)]! };
    });
    const workers = [1, 2, 3].map(() => work([doubling], { lease: "2s", concurrency: 3 }));
    const tasks = await queue.enqueueMany(
      double,
      Array.from({ length: 60 }, (_, input) => ({ input })),
    );
    await clock.advance("5m");
    isOver = true;
    await clock.advance("5m");
    const { ready, scheduled, running, completed, failed } = await queue.stats();
    expect({ ready, scheduled, running, ended: completed + failed }).toEqual({
      ready: 0,
      scheduled: 0,
      running: 0,
      ended: 60,
    });
    for (const { id } of tasks) {
      const ends: string[] = [];
      for await (const { type } of queue.events(id))
        if (type === "completed" || type === "failed") ends.push(type);
      expect(ends).toHaveLength(1);
    }
    for (const working of workers) await closed(working, clock);
  });
});
