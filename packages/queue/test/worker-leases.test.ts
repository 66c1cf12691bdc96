import { LeaseLostError, TimeoutError } from "@holdfast/core";
import type { TaskContext } from "@holdfast/queue";
import { defineTask, handle, TaskCancelledError } from "@holdfast/queue";
import { faulty, leakCheck } from "@holdfast/core/testing";
import { describe, expect, it } from "vitest";
import type { Bench } from "./bench.ts";
import { bench, closed, gate, rejection } from "./bench.ts";

const hold = defineTask<string, string, string>({ name: "hold", timeout: "1h" });

/** Starts a task whose handler ends when the gate opens, and never looks at its signal. */
async function holding(at: Bench, lease: string = "3s", task: typeof hold = hold) {
  const held = gate<string>();
  const contexts: TaskContext<string>[] = [];
  const handler = handle(task, (context) => (contexts.push(context), held.promise));
  const working = at.work([handler], { lease: lease as "3s", concurrency: 1 });
  const { id } = await at.queue.enqueue(task, "x");
  await at.settle();
  return { id, working, held, contexts, context: contexts[0]! };
}

describe("a lease", () => {
  it("[pitfall 19] is renewed for as long as the handler runs", async () => {
    const at = bench();
    const { id, working, held, contexts } = await holding(at);
    await at.clock.advance("5m");
    expect(await at.queue.status(id)).toMatchObject({ state: "running", leaseLosses: 0 });
    held.open("done");
    expect(await at.queue.wait(hold, id)).toBe("done");
    expect(contexts).toHaveLength(1);
    await working.close();
  });

  it("that cannot be renewed aborts its handler when it ends, not later, though the store never answers", async () => {
    const at = bench();
    const hung = bench({
      clock: at.clock,
      store: faulty(at.store, {
        plan: ({ method }) => (method === "renew" ? { kind: "hang" } : undefined),
        clock: at.clock,
      }),
    });
    const { working, context, held } = await holding(hung);
    await at.clock.advance(2_999);
    expect(context.aborted).toBe(false);
    await at.clock.advance(1);
    expect(context.signal.reason).toBeInstanceOf(LeaseLostError);
    expect(() => context.throwIfAborted()).toThrow(LeaseLostError);
    held.open("too late");
    await closed(working, at.clock);
  });

  it("that is lost lets another run the task; what the first one writes is refused", async () => {
    const at = bench();
    const cut = bench({
      clock: at.clock,
      store: faulty(at.store, {
        plan: ({ method }) => (method === "renew" ? { kind: "error" } : undefined),
        clock: at.clock,
      }),
    });
    const first = await holding(cut);
    first.working.pause();
    const second = at.work([handle(hold, () => "from the second")]);
    await at.clock.advance("3s");
    expect(await at.queue.wait(hold, first.id)).toBe("from the second");
    expect(await rejection(first.context.progress(99))).toBeInstanceOf(LeaseLostError);
    first.held.open("from the first");
    await at.settle();
    expect(await at.queue.result(first.id)).toEqual({ value: "from the second" });
    expect((await at.queue.status(first.id)).progress).toBeUndefined();
    await closed(first.working, at.clock);
    await second.close();
  });

  it("lost under a handler that ignores its signal lets go of the task after the grace period, and of the place when that has ended", async () => {
    const at = bench();
    const cut = bench({
      clock: at.clock,
      store: faulty(at.store, {
        plan: ({ method, index }) => (method === "renew" && index < 8 ? { kind: "error" } : undefined),
        clock: at.clock,
      }),
    });
    const { working, contexts, held } = await holding(cut);
    await at.clock.advance("3s");
    expect(contexts[0]!.aborted).toBe(true);
    expect([working.running, working.leftBehind]).toEqual([1, 0]);
    await at.clock.advance("5s");
    expect([working.running, working.leftBehind]).toEqual([0, 1]);
    expect(contexts).toHaveLength(1);
    held.open("late");
    await at.settle();
    expect(contexts).toHaveLength(2);
    expect(contexts[1]!.fence).toBeGreaterThan(contexts[0]!.fence);
    await closed(working, at.clock);
  });

  it("[pitfall 24] does not repeat a task that was delayed for longer than leases last", async () => {
    const at = bench();
    let runs = 0;
    await using _ = at.work([handle(hold, () => `${(runs += 1)}`)], { lease: "1s" });
    const { id } = await at.queue.enqueue(hold, "x", { delay: "1h" });
    await at.clock.advance("59m");
    expect(runs).toBe(0);
    await at.clock.advance("2m");
    expect(await at.queue.wait(hold, id)).toBe("1");
    await at.clock.advance("10m");
    expect(runs).toBe(1);
  });

  it("[pitfall 16] of a worker that has died is found without an add or a restart", async () => {
    const at = bench();
    const { id } = await at.queue.enqueue(hold, "x");
    await at.store.claim("bench", { worker: "dead", max: 1, leaseMs: 30_000 });
    await using _ = at.work([handle(hold, () => "done")]);
    await at.clock.advance("30s");
    expect(await at.queue.wait(hold, id)).toBe("done");
    expect((await at.queue.status(id)).leaseLosses).toBe(1);
  });

  it("[pitfall 22] of a worker whose name a new one has is found too", async () => {
    const at = bench();
    const { id } = await at.queue.enqueue(hold, "x");
    await at.store.claim("bench", { worker: "pod-1", max: 1, leaseMs: 30_000 });
    await using _ = at.work([handle(hold, () => "done")], { name: "pod-1" });
    await at.clock.advance("30s");
    expect(await at.queue.wait(hold, id)).toBe("done");
  });

  it("[pitfall 18] is found when ten thousand are lost at a time, of groups too", async () => {
    const at = bench();
    await at.queue.enqueueMany(
      hold,
      Array.from({ length: 10_000 }, (_, number) => ({
        input: "x",
        ...(number % 2 === 0 ? { group: `g${number}` } : {}),
      })),
    );
    expect(await at.store.claim("bench", { worker: "dead", max: 10_000, leaseMs: 1_000 })).toHaveLength(
      10_000,
    );
    await using _ = at.work([handle(hold, () => "done")], { concurrency: 500 });
    await at.clock.advance("1s");
    expect(await at.queue.stats()).toMatchObject({ completed: 10_000, running: 0, ready: 0 });
  });

  it("[must-survive 30] lost again and again ends in the dead letters: the task may be what ends its workers", async () => {
    const at = bench();
    const poison = defineTask<string, string, string>({ name: "poison", leaseLosses: 2 });
    const { id } = await at.queue.enqueue(poison, "x");
    for (let deaths = 0; deaths < 3; deaths += 1) {
      await at.store.claim("bench", { worker: `dead-${deaths}`, max: 1, leaseMs: 1_000 });
      await at.clock.advance("1s");
    }
    expect(await at.queue.status(id)).toMatchObject({ state: "failed", error: { code: "LEASE_LOST" } });
  });
});

describe("a timeout", () => {
  const short = defineTask<string, string, string>({ name: "short", timeout: "2s", attempts: 2 });

  it("aborts the handler's signal and fails the try", async () => {
    const at = bench();
    let seen: unknown;
    await using _ = at.work([
      handle(
        short,
        ({ signal }) =>
          new Promise<string>((_resolve, reject) =>
            signal.addEventListener("abort", () => {
              seen = signal.reason;
              reject(signal.reason as Error);
            }),
          ),
      ),
    ]);
    const { id } = await at.queue.enqueue(short, "x");
    await at.clock.advance("2s");
    expect(seen).toBeInstanceOf(TimeoutError);
    expect(await at.queue.status(id)).toMatchObject({ state: "scheduled", lastError: { code: "TIMEOUT" } });
    await at.clock.advance("10s");
    expect(await at.queue.status(id)).toMatchObject({ state: "failed", attempt: 2 });
  });

  it("counts down where the handler can see it", async () => {
    const at = bench();
    const { context, held, working } = await holding(at);
    await at.clock.advance("10m");
    expect(context.remainingMs).toBe(50 * 60_000);
    held.open("done");
    await working.close();
  });

  it("comes to each of many runs at its own time, whichever began or ended first", async () => {
    const at = bench();
    const tasks = [30, 10, 20, 5, 40].map((seconds) =>
      defineTask<number, number, void>({ name: `of-${seconds}`, timeout: `${seconds}s`, attempts: 1 }),
    );
    const timedOut: string[] = [];
    const handlers = tasks.map((task) =>
      handle(task, async ({ signal }) => {
        if (task.name === "of-5") return;
        await new Promise((resolve) => signal.addEventListener("abort", resolve));
        timedOut.push(`${task.name} at ${at.clock.monotonic() - start}`);
      }),
    );
    const start = at.clock.monotonic();
    await using _ = at.work(handlers);
    for (const task of tasks) {
      await at.queue.enqueue(task, 0);
      await at.clock.advance("1s");
    }
    await at.clock.advance("1m");
    expect(timedOut).toEqual(["of-10 at 11000", "of-20 at 22000", "of-30 at 30000", "of-40 at 44000"]);
  });

  it("takes no result that came too late", async () => {
    const at = bench();
    const { id, held, working } = await holding(at, "3s", short);
    await at.clock.advance("2s");
    held.open("late");
    await at.settle();
    expect(await at.queue.status(id)).toMatchObject({ state: "scheduled", lastError: { code: "TIMEOUT" } });
    await closed(working, at.clock);
  });

  it("[pitfall 14] leaves a handler behind that ignores it, after the grace period, and runs the task again elsewhere, or here when it has ended", async () => {
    const at = bench();
    const { id, contexts, working, held } = await holding(at, "3s", short);
    await at.clock.advance("6999ms");
    expect(await at.queue.status(id)).toMatchObject({ state: "running", attempt: 1 });
    await at.clock.advance(1);
    expect(await at.queue.status(id)).toMatchObject({ state: "scheduled", lastError: { code: "TIMEOUT" } });
    await at.clock.advance("10s");
    expect(contexts).toHaveLength(1);
    expect((await at.queue.status(id)).state).toBe("ready");
    held.open("late");
    await at.settle();
    expect(contexts).toHaveLength(2);
    await closed(working, at.clock);
  });
});

describe("a cancel", () => {
  it("[pitfall 13] aborts the signal of a handler that runs, with the reason, at once", async () => {
    const at = bench();
    const { id, context, held, working } = await holding(at);
    expect(await at.queue.cancel(id, "changed my mind")).toBe(true);
    await at.settle();
    expect(context.signal.reason).toBeInstanceOf(TaskCancelledError);
    expect(context.signal.reason).toMatchObject({
      code: "TASK_CANCELLED",
      reason: "changed my mind",
      taskId: id,
    });
    held.open("too late");
    await at.settle();
    expect(await at.queue.status(id)).toMatchObject({ state: "cancelled", reason: "changed my mind" });
    expect(await at.queue.result(id)).toBeUndefined();
    expect(working.running).toBe(0);
    await working.close();
  });

  it("reaches a handler through its next renewal when the notice was lost", async () => {
    const at = bench();
    const deaf = bench({
      clock: at.clock,
      store: faulty(at.store, {
        plan: ({ method }) => (method === "waitForRevoked" ? { kind: "hang" } : undefined),
        clock: at.clock,
      }),
    });
    const { id, context, held, working } = await holding(deaf);
    await at.queue.cancel(id);
    await at.settle();
    expect(context.aborted).toBe(false);
    await at.clock.advance("1s");
    expect(context.signal.reason).toBeInstanceOf(TaskCancelledError);
    held.open("");
    await closed(working, at.clock);
  });

  it("reaches a handler while its worker closes", async () => {
    const at = bench();
    const { id, context, held, working } = await holding(at, "30s");
    const closing = working.close({ within: "1m" });
    await at.settle();
    await at.queue.cancel(id, "not wanted");
    await at.settle();
    expect(context.signal.reason).toBeInstanceOf(TaskCancelledError);
    held.open("");
    await at.clock.advance(0);
    expect(await closing).toEqual({ finished: 0, givenBack: 0 });
  });

  it("tells whoever waits, and answers false the second time", async () => {
    const at = bench();
    const { id } = await at.queue.enqueue(hold, "x");
    const waiting = rejection(at.queue.wait(hold, id));
    expect(await at.queue.cancel(id, "no")).toBe(true);
    expect(await waiting).toMatchObject({ code: "TASK_CANCELLED", reason: "no" });
    expect(await at.queue.cancel(id)).toBe(false);
    expect(await rejection(at.queue.cancel("unknown"))).toMatchObject({ code: "TASK_NOT_FOUND" });
  });

  it("of a task that never began leaves its handler alone", async () => {
    const at = bench();
    const { id } = await at.queue.enqueue(hold, "x");
    await at.queue.cancel(id);
    let runs = 0;
    await using _ = at.work([handle(hold, () => `${(runs += 1)}`)]);
    await at.clock.advance("1m");
    expect(runs).toBe(0);
  });

  it("leaves no timer of the run behind", async () => {
    const at = bench();
    const leaks = leakCheck({ clocks: [at.clock] });
    const { id, held, working } = await holding(at);
    await at.queue.cancel(id);
    held.open("");
    await at.settle();
    await working.close();
    await at.store.close();
    leaks.assertNone();
  });
});
