import { defineTask, handle, WorkerClosingError } from "@holdfast/queue";
import { faulty, leakCheck } from "@holdfast/core/testing";
import { describe, expect, it } from "vitest";
import { bench, gate } from "./bench.ts";

const hold = defineTask<number, number, number>({ name: "hold" });

/** Whether a promise has settled by now. */
function watched(promise: Promise<unknown>): { readonly isSettled: boolean } {
  const state = { isSettled: false };
  void promise.finally(() => (state.isSettled = true));
  return state;
}

describe("pause", () => {
  it("claims no more while what runs goes on, until it is resumed", async () => {
    const { queue, work, settle } = bench();
    const held = gate();
    const ran: number[] = [];
    await using working = work([
      handle(hold, async ({ input }) => {
        ran.push(input);
        if (input === 0) await held.promise;
        return input;
      }),
    ]);
    const first = await queue.enqueue(hold, 0);
    await settle();
    working.pause();
    expect(working.paused).toBe(true);
    const second = await queue.enqueue(hold, 1);
    held.open();
    expect(await queue.wait(hold, first.id)).toBe(0);
    await settle();
    expect(ran).toEqual([0]);
    working.resume();
    expect(await queue.wait(hold, second.id)).toBe(1);
  });

  it("does not keep a worker from closing", async () => {
    const { work, settle } = bench();
    const working = work([handle(hold, ({ input }) => input)]);
    working.pause();
    await settle();
    expect(await working.close()).toEqual({ finished: 0, givenBack: 0 });
  });
});

describe("close", () => {
  it("lets handlers end by themselves, claims no more and says how many have finished", async () => {
    const { queue, clock, work, settle } = bench();
    const gates = [gate(), gate()];
    const working = work([handle(hold, async ({ input }) => (await gates[input]!.promise, input))], {
      concurrency: 2,
    });
    const tasks = await queue.enqueueMany(hold, [{ input: 0 }, { input: 1 }, { input: 1 }]);
    await settle();
    const closing = working.close({ within: "20s" });
    const state = watched(closing);
    await clock.advance("5s");
    expect(state.isSettled).toBe(false);
    for (const { open } of gates) open();
    await settle();
    expect(await closing).toEqual({ finished: 2, givenBack: 0 });
    expect(await queue.stats()).toMatchObject({ completed: 2, ready: 1 });
    expect((await queue.status(tasks[2]!.id)).attempt).toBe(0);
  });

  it("tells handlers to stop before its time is up, and gives their tasks back without using up a try", async () => {
    const { queue, clock, work, settle } = bench();
    let reason: unknown;
    const working = work([
      handle(
        hold,
        ({ signal }) =>
          new Promise<number>((_, reject) =>
            signal.addEventListener("abort", () => {
              reason = signal.reason;
              reject(new Error("stopped"));
            }),
          ),
      ),
    ]);
    const { id } = await queue.enqueue(hold, 1);
    await settle();
    const closing = working.close({ within: "20s" });
    await clock.advance("15s");
    expect(reason).toBeInstanceOf(WorkerClosingError);
    expect(await closing).toEqual({ finished: 0, givenBack: 1 });
    expect(await queue.status(id)).toMatchObject({ state: "ready", attempt: 1, leaseLosses: 0 });
    await using _ = work([handle(hold, ({ input }) => input)]);
    expect(await queue.wait(hold, id)).toBe(1);
    expect((await queue.status(id)).attempt).toBe(1);
  });

  it("leaves a handler behind that ignores its signal, gives its task back and refuses what it writes later", async () => {
    const { queue, clock, work, settle } = bench();
    const held = gate<number>();
    const working = work([handle(hold, () => held.promise)]);
    const { id } = await queue.enqueue(hold, 1);
    await settle();
    const closing = working.close({ within: "20s" });
    const state = watched(closing);
    await clock.advance("18s");
    expect(state.isSettled).toBe(false);
    await clock.advance("2s");
    expect(await closing).toEqual({ finished: 0, givenBack: 1 });
    held.open(666);
    await settle();
    expect((await queue.status(id)).state).toBe("ready");
  });

  it("gives back at once when there is no time", async () => {
    const { queue, work, settle, clock } = bench();
    const working = work([handle(hold, () => new Promise<number>(() => {}))]);
    const { id } = await queue.enqueue(hold, 1);
    await settle();
    const closing = working.close({ within: 0 });
    await clock.advance(0);
    expect(await closing).toEqual({ finished: 0, givenBack: 1 });
    expect((await queue.status(id)).state).toBe("ready");
  });

  it.each(["claim", "settle", "renew", "report", "waitForWork", "waitForRevoked"])(
    "settles within its budget when the store never answers %s()",
    async (method) => {
      const plain = bench();
      let isHung = false;
      const store = faulty(plain.store, {
        plan: (call) => (isHung && call.method === method ? { kind: "hang" } : undefined),
        clock: plain.clock,
      });
      const { queue, clock, work, settle } = bench({ store, clock: plain.clock });
      isHung = method.startsWith("waitFor") || method === "claim";
      const working = work([
        handle(hold, async ({ input, progress }) => {
          void progress(1);
          if (input === 0) await clock.sleep("1m");
          return input;
        }),
      ]);
      await queue.enqueueMany(hold, [{ input: 0 }, { input: 1 }]);
      isHung = true;
      await settle();
      const closing = working.close({ within: "10s" });
      const state = watched(closing);
      await clock.advance("10s");
      expect(state.isSettled).toBe(true);
    },
  );

  it("[pitfall 5] settles within its budget when the store fails every call", async () => {
    const plain = bench();
    let isDown = false;
    const store = faulty(plain.store, {
      plan: () => (isDown ? { kind: "error" } : undefined),
      clock: plain.clock,
    });
    const { queue, clock, work, settle } = bench({ store, clock: plain.clock });
    const leaks = leakCheck({ clocks: [clock] });
    const working = work([handle(hold, () => new Promise<number>(() => {}))], { lease: "20s" });
    const { id } = await queue.enqueue(hold, 1);
    await settle();
    isDown = true;
    const closing = working.close({ within: "10s" });
    await clock.advance("10s");
    expect(await closing).toEqual({ finished: 0, givenBack: 0 });
    expect(working.running).toBe(0);
    // What could not be handed back is free when its lease ends.
    isDown = false;
    await clock.advance("20s");
    expect((await queue.status(id)).state).toBe("ready");
    await plain.store.close();
    leaks.assertNone();
  });

  it("gives back what was claimed on the way to it", async () => {
    const plain = bench();
    const store = faulty(plain.store, {
      plan: ({ method }) => (method === "claim" ? { kind: "latency", delay: "1s" } : undefined),
      clock: plain.clock,
    });
    const { queue, clock, work, settle } = bench({ store, clock: plain.clock });
    let runs = 0;
    const working = work([handle(hold, ({ input }) => ((runs += 1), input))]);
    const { id } = await queue.enqueue(hold, 1);
    await settle();
    const closing = working.close({ within: "10s" });
    await clock.advance("2s");
    expect(await closing).toEqual({ finished: 0, givenBack: 1 });
    expect(runs).toBe(0);
    expect(await queue.status(id)).toMatchObject({ state: "ready", attempt: 1, leaseLosses: 0 });
  });

  it("leaves no wait behind when it comes while an empty claim is on its way", async () => {
    const plain = bench();
    const store = faulty(plain.store, {
      plan: ({ method }) => (method === "claim" ? { kind: "latency", delay: "1s" } : undefined),
      clock: plain.clock,
    });
    const { clock, work, settle } = bench({ store, clock: plain.clock });
    const leaks = leakCheck({ clocks: [clock] });
    const working = work([handle(hold, ({ input }) => input)]);
    await settle();
    const closing = working.close({ within: "10s" });
    await clock.advance("1s");
    expect(await closing).toEqual({ finished: 0, givenBack: 0 });
    await settle();
    leaks.assertNone();
  });

  it("leaves no timer behind for what was claimed on the way to it and comes when it is over", async () => {
    const plain = bench();
    const store = faulty(plain.store, {
      plan: ({ method }) => (method === "claim" ? { kind: "latency", delay: "1s" } : undefined),
      clock: plain.clock,
    });
    const { queue, clock, work, settle } = bench({ store, clock: plain.clock });
    const leaks = leakCheck({ clocks: [clock] });
    const working = work([handle(hold, ({ input }) => input)]);
    await queue.enqueue(hold, 1);
    await settle();
    const closing = working.close({ within: 0 });
    await clock.advance(0);
    await closing;
    await clock.advance("2s");
    await settle();
    // With the timer of its own that tells when the lease ends.
    await plain.store.close();
    leaks.assertNone();
  });

  it("answers the same to all who ask", async () => {
    const { work } = bench();
    const working = work([handle(hold, ({ input }) => input)]);
    expect(working.close()).toBe(working.close({ within: "1s" }));
    await working[Symbol.asyncDispose]();
  });
});
