// What is no task, no ID, no store: refused by name where it is given, rather than somewhere else later.
import { defineTask, handle, memoryStore, queue } from "@holdfast/queue";
import { describe, expect, it } from "vitest";
import { bench, rejection } from "./bench.ts";

const job = defineTask<number, number, number>({ name: "job" });

describe("what makes a queue", () => {
  it.each([
    ["a queue without a store", () => queue({ name: "q", store: {} as never }), /queue.*store.*memoryStore/],
    ["a handler without a function", () => handle(job, undefined as never), /handle.*run.*function/],
    ["a handler of no task", () => handle({ name: "x" } as never, () => 1), /handle.*task.*defineTask/],
    ["a number as a backoff", () => defineTask({ name: "x", backoff: 5 as never }), /backoff.*exponential/],
    ["a number as a schema", () => defineTask({ name: "x", input: 5 as never }), /input.*Standard Schema/],
    ["null as a schema", () => defineTask({ name: "x", output: null as never }), /output.*Standard Schema/],
    ["no tries at all", () => queue({ name: "q", store: memoryStore(), attempts: 0 }), /attempts.*1 to 1000/],
    [
      "half a lost lease",
      () => queue({ name: "q", store: memoryStore(), leaseLosses: 0.5 }),
      /leaseLosses.*0 to 1000/,
    ],
  ])("refuses %s", (_, make, message) => {
    expect(make).toThrow(expect.objectContaining({ code: "INVALID_OPTION" }));
    expect(make).toThrow(message);
  });
});

describe("a queue", () => {
  it.each([undefined, null, 5, {}])("refuses %o as an ID, by the name of the verb", async (given) => {
    const at = bench().queue;
    const id = given as never;
    const asked: Record<string, () => Promise<unknown>> = {
      status: () => at.status(id),
      result: () => at.result(id),
      wait: () => at.wait(job, id),
      events: () => at.events(id).next(),
      cancel: () => at.cancel(id),
      signal: () => at.signal(id, "go"),
      redrive: () => at.redrive(id),
      discard: () => at.discard("one", id),
      unschedule: () => at.unschedule(id),
    };
    for (const [verb, ask] of Object.entries(asked)) {
      const error = await rejection(ask());
      expect(error).toMatchObject({ code: "INVALID_OPTION" });
      expect(error.message).toContain(verb);
    }
  });

  it("refuses a task that was not defined, in each verb that adds one", async () => {
    const at = bench().queue;
    for (const task of [undefined, {}, { name: "x" }] as never[]) {
      for (const adding of [
        at.enqueue(task, 1),
        at.enqueueMany(task, [{ input: 1 }]),
        at.fire(task, { input: 1 }, { key: "k", text: "t", nextAt: 0 }, 1),
      ])
        expect((await rejection(adding)).code).toBe("INVALID_OPTION");
    }
  });

  it("redrives and discards any number of tasks, in pages", async () => {
    const at = bench();
    const ids = Array.from({ length: 2_500 }, (_, n) => `t${n}`);
    await at.queue.enqueueMany(
      job,
      ids.map((id, input) => ({ id, input })),
    );
    const leases = await at.store.claim("bench", { worker: "w", max: 2_500, leaseMs: 60_000 });
    const error = { code: "X", message: "no" };
    await at.store.settle(
      "bench",
      leases.map((lease) => ({ ...lease, kind: "fail", error })),
    );
    const calls: number[] = [];
    const { redrive } = at.store;
    (at.store as { redrive: typeof redrive }).redrive = (name, page) => (
      calls.push(page.length),
      redrive.call(at.store, name, page)
    );
    const unknown = Array.from({ length: 197_500 }, (_, n) => `u${n}`);
    expect(await at.queue.redrive([...ids, ...unknown])).toBe(2_500);
    expect(Math.max(...calls)).toBe(1_000);
    expect(await at.queue.redrive(...ids)).toBe(0);
    for (const id of ids) await at.queue.cancel(id);
    expect(await at.queue.discard(ids)).toBe(2_500);
  });

  it("gives tasks that say nothing of them its own tries and lost leases", async () => {
    const at = bench({ attempts: 7, leaseLosses: 2 });
    const own = defineTask<number, number, number>({ name: "own", attempts: 1, leaseLosses: 0 });
    const made = [await at.queue.enqueue(job, 1), await at.queue.enqueue(own, 1)];
    const [theQueues, itsOwn] = await Promise.all(made.map(({ id }) => at.queue.status(id)));
    expect([theQueues!.maxAttempts, itsOwn!.maxAttempts]).toEqual([7, 1]);
    const leases = 3;
    for (let n = 0; n < leases; n += 1) {
      await at.store.claim("bench", { worker: "w", max: 2, leaseMs: 1_000 });
      await at.clock.advance("1s");
    }
    expect((await at.queue.deadLetters()).map(({ id }) => id).toSorted()).toEqual(
      made.map(({ id }) => id).toSorted(),
    );
    expect((await at.queue.status(made[0]!.id)).leaseLosses).toBe(3);
    expect((await at.queue.status(made[1]!.id)).leaseLosses).toBe(1);
  });

  it("counts the bytes of progress, not its characters", async () => {
    const at = bench();
    const told: unknown[] = [];
    await using _ = at.work([
      handle(job, async ({ progress, input }) => {
        await progress("x".repeat(8_190));
        told.push(await rejection(progress("ü".repeat(4_096))));
        return input;
      }),
    ]);
    const { id } = await at.queue.enqueue(job, 1);
    await at.queue.wait(job, id);
    expect(told).toMatchObject([{ code: "PAYLOAD_TOO_LARGE", bytes: 8_194, maxBytes: 8_192 }]);
  });
});
