import type { Clock } from "@holdfast/core";
import type { MemoryStoreOptions } from "@holdfast/queue";
import { defineTask, memoryStore, queue } from "@holdfast/queue";
import { queueStoreConformance } from "@holdfast/queue/testing";
import type { ManualClock } from "@holdfast/core/testing";
import { leakCheck, manualClock } from "@holdfast/core/testing";
import { describe, expect, it } from "vitest";

const work = defineTask<number>({ name: "work" });
let clock: ManualClock;

queueStoreConformance(
  { describe, it },
  {
    make: () => memoryStore({ clock: (clock = manualClock()) }),
    advance: (ms) => clock.advance(ms),
  },
);

describe("the memory store", () => {
  function made(options: MemoryStoreOptions = {}) {
    const time = manualClock();
    const store = memoryStore({ clock: time, ...options });
    return { time, store, queue: queue({ name: "q", store, clock: time }) };
  }

  it("says that it is of one process, on its caller's clock, and not durable", () => {
    expect(made().store.traits).toEqual({ shared: false, clock: "caller", durable: false });
  });

  it("refuses bounds that are out of range", () => {
    expect(() => memoryStore({ maxEnded: 0 })).toThrow(/maxEnded/);
    expect(() => memoryStore({ maxDeadLetters: 1.5 })).toThrow(/maxDeadLetters/);
    expect(() => memoryStore({ maxEvents: 9 })).toThrow(/maxEvents/);
  });

  it("lets the large inputs go of tasks that were completed or cancelled", async () => {
    const { store, queue: tasks } = made();
    const held: WeakRef<Uint8Array>[] = [];
    for (const id of ["completed", "cancelled", "failed"]) {
      const blob = new Uint8Array(1_000);
      held.push(new WeakRef(blob));
      const times = { delayMs: 0, keepMs: 60_000, keepFailedMs: 60_000 };
      const rules = { ...times, priority: 0, maxAttempts: 1, maxLeaseLosses: 1 };
      await store.enqueue("q", [{ id, name: "work", input: { text: "", blobs: [blob] }, ...rules }], {
        limit: 9,
      });
    }
    await store.cancel("q", ["cancelled"], "unwanted");
    for (const { id, fence } of await store.claim("q", { worker: "w", max: 3, leaseMs: 1_000 })) {
      const end =
        id === "completed"
          ? ({ kind: "complete", result: { text: "1", blobs: [] } } as const)
          : ({ kind: "fail", error: { code: "BROKEN", message: "" } } as const);
      await store.settle("q", [{ id, fence, ...end }]);
    }
    expect(globalThis.gc).toBeTypeOf("function");
    for (let turn = 0; turn < 5; turn += 1) {
      await new Promise((resolve) => setImmediate(resolve));
      globalThis.gc?.();
    }
    expect(held.map((one) => one.deref()?.length)).toEqual([undefined, undefined, 1_000]);
    expect(await tasks.redrive(["failed"])).toBe(1);
  });

  it("keeps the latest ended tasks and dead letters alone, each up to its bound", async () => {
    const { store, queue: tasks } = made({ maxEnded: 2, maxDeadLetters: 1 });
    const ids = (
      await tasks.enqueueMany(
        work,
        Array.from({ length: 5 }, (_, input) => ({ input })),
      )
    ).map(({ id }) => id);
    const claimed = await store.claim("q", { worker: "w", max: 5, leaseMs: 1_000 });
    const error = { code: "BROKEN", message: "" };
    await store.settle(
      "q",
      claimed.map(({ id, fence }, index) =>
        index < 3
          ? { id, fence, kind: "complete", result: { text: "1", blobs: [] } }
          : { id, fence, kind: "fail", error },
      ),
    );
    const found = await store.get("q", ids);
    expect(found.map((status) => status?.state)).toEqual([
      undefined,
      "completed",
      "completed",
      undefined,
      "failed",
    ]);
    expect(await store.stats("q")).toMatchObject({ completed: 2, failed: 1 });
  });

  it("keeps the latest events of a task, whose numbers show the gap", async () => {
    const { store, queue: tasks } = made({ maxEvents: 10 });
    const { id } = await tasks.enqueue(work, 1);
    const [claimed] = await store.claim("q", { worker: "w", max: 1, leaseMs: 1_000 });
    const reports = Array.from({ length: 20 }, (_, line) => ({ kind: "log" as const, line: `${line}` }));
    await store.report("q", [{ id, fence: claimed!.fence, reports }]);
    const page = await store.events("q", id, 0, 100);
    expect(page?.events.map(({ seq }) => seq)).toEqual([13, 14, 15, 16, 17, 18, 19, 20, 21, 22]);
    expect((await store.events("q", id, 20, 100))?.events.map(({ seq }) => seq)).toEqual([21, 22]);
  });

  it("moves no lease and no delay when the wall clock jumps", async () => {
    const { time, store, queue: tasks } = made();
    const { id } = await tasks.enqueue(work, 1);
    await tasks.enqueue(work, 2, { delay: "10s" });
    const [held] = await store.claim("q", { worker: "w", max: 1, leaseMs: 5_000 });
    time.jumpWallClock(86_400_000);
    await time.advance("4s");
    expect(await tasks.stats()).toMatchObject({ running: 1, scheduled: 1 });
    time.jumpWallClock(-2 * 86_400_000);
    await time.advance("1s");
    expect((await tasks.status(id)).leaseLosses).toBe(1);
    expect(held!.id).toBe(id);
    await time.advance("5s");
    expect(await tasks.stats()).toMatchObject({ ready: 2 });
  });

  it("sets one timer for all that is due, also for fractions of a millisecond", async () => {
    const time = manualClock();
    let timers = 0;
    const counting: Clock = {
      now: () => time.now(),
      monotonic: () => time.monotonic(),
      sleep: (...args) => time.sleep(...args),
      setTimer: (...args) => ((timers += 1), time.setTimer(...args)),
    };
    const store = memoryStore({ clock: counting });
    const tasks = queue({ name: "q", store, clock: time });
    await tasks.enqueueMany(
      work,
      Array.from({ length: 50 }, (_, input) => ({ input, delay: 1_000.000_01 })),
    );
    expect(time.pendingTimers).toBe(1);
    await time.advance("2s");
    expect(await tasks.stats()).toMatchObject({ ready: 50 });
    expect(timers).toBeLessThan(5);
  });

  it("leaves no timer behind when it is closed, nor when there is nothing more to come", async () => {
    const { time, store, queue: tasks } = made();
    const leaks = leakCheck({ clocks: [time] });
    const brief = defineTask<number>({ name: "brief", keepFor: "1s" });
    const { id } = await tasks.enqueue(brief, 1);
    await tasks.cancel(id);
    expect(time.pendingTimers).toBe(1);
    await time.advance("1s");
    leaks.assertNone();
    await tasks.enqueue(brief, 1, { delay: "1h" });
    await store.close();
    leaks.assertNone();
  });

  it("tells a worker what was revoked, up to the latest thousand leases; renewals tell the rest", async () => {
    const { store, queue: tasks } = made();
    const enqueued = await tasks.enqueueMany(
      work,
      Array.from({ length: 1_200 }, (_, input) => ({ input })),
    );
    const claimed = await store.claim("q", { worker: "w", max: 1_200, leaseMs: 60_000 });
    await store.cancel(
      "q",
      enqueued.map(({ id }) => id),
      "all",
    );
    const told = await store.waitForRevoked("q", "w", new AbortController().signal);
    expect(told).toHaveLength(1_000);
    const [first] = await store.renew("q", [claimed[0]!], 60_000);
    expect(first).toEqual({ written: false, cause: "cancelled", reason: "all" });
  });
});
