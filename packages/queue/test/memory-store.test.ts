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

  describe("that has many queues, one after the other", () => {
    const brief = defineTask<number>({ name: "brief", keepFor: "1s" });

    /** Adds a task to a queue of its own, and completes it. Answers its fence. */
    async function passedThrough({ store, time }: ReturnType<typeof made>, name: string): Promise<number> {
      await queue({ name, store, clock: time }).enqueue(brief, 1, { id: "task" });
      const [{ fence } = { fence: 0 }] = await store.claim(name, { worker: "w", max: 1, leaseMs: 1_000 });
      await store.settle(name, [{ id: "task", fence, kind: "complete", result: { text: "1", blobs: [] } }]);
      return fence;
    }

    it("keeps the counts of the latest thousand that are empty, and gives no fence of the others twice", async () => {
      const at = made();
      await at.queue.enqueue(brief, 1, { id: "task" });
      const [zombie] = await at.store.claim("q", { worker: "zombie", max: 1, leaseMs: 60_000 });
      await at.queue.cancel("task");
      await at.queue.discard("task");
      let highest = zombie!.fence;
      for (let n = 0; n < 1_001; n += 1) {
        const fence = await passedThrough(at, `queue-${n}`);
        highest = Math.max(highest, fence);
        await at.time.advance("1s");
      }
      expect(await at.store.meter("queue-1000")).toMatchObject({ added: 1, completed: 1 });
      expect(await at.store.meter("queue-1")).toMatchObject({ added: 1, completed: 1 });
      expect(await at.store.meter("q")).toMatchObject({ added: 0, started: 0 });
      await at.queue.enqueue(brief, 2, { id: "task" });
      const [heir] = await at.store.claim("q", { worker: "heir", max: 1, leaseMs: 60_000 });
      expect(heir!.fence).toBeGreaterThan(zombie!.fence);
      const late = { ...zombie!, kind: "complete", result: { text: "0", blobs: [] } } as const;
      expect((await at.store.settle("q", [late])).outcomes).toEqual([
        { written: false, cause: "lease_lost" },
      ]);
    });

    it("remembers what was said of those, however many there are: that one is paused, has a schedule, is waited for", async () => {
      const at = made();
      for (const name of ["paused", "scheduled", "waited"]) await passedThrough(at, name);
      await at.store.pause("paused", true);
      await at.store.setSchedule("scheduled", { key: "k", text: "{}", nextAt: 1 });
      const stop = new AbortController();
      let isWoken = false;
      const wait = at.store.waitForWork("waited", stop.signal).then(() => (isWoken = true));
      for (let n = 0; n < 1_100; n += 1) await passedThrough(at, `queue-${n}`);
      await at.time.advance("1s");
      for (let n = 0; n < 1_100; n += 1) await passedThrough(at, `other-${n}`);
      await at.time.advance("1s");
      expect((await at.store.meter("paused")).paused).toBe(true);
      expect(await at.store.schedules("scheduled")).toHaveLength(1);
      expect(isWoken).toBe(false);
      await queue({ name: "waited", store: at.store, clock: at.time }).enqueue(brief, 1);
      await wait;
      expect(await at.store.meter("waited")).toMatchObject({ added: 2 });
      expect(await at.store.meter("queue-0")).toMatchObject({ added: 0 });
    });

    it("has as much in memory after forty thousand of them as after ten", async () => {
      const at = made();
      const heap = async (upTo: number, from: number): Promise<number> => {
        for (let n = from; n < upTo; n += 1) {
          await passedThrough(at, `queue-${n}`);
          if (n % 500 === 0) await at.time.advance("1s");
        }
        await at.time.advance("1s");
        globalThis.gc!();
        return process.memoryUsage().heapUsed;
      };
      const before = await heap(10_000, 0);
      // Thirty thousand queues of some kB each.
      expect((await heap(40_000, 10_000)) - before).toBeLessThan(5_000_000);
    }, 60_000);
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
