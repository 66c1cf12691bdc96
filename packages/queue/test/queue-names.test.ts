// Any number of names of queues: what holds nothing is not kept.
import { memoryStore } from "@holdfast/queue";
import { describe, expect, it } from "vitest";
import { Lines, MAX_LINES } from "../src/store/lines.ts";

const NAMES = 20_000;

function heapUsed(): number {
  globalThis.gc!();
  return process.memoryUsage().heapUsed;
}

describe("a memory store that is asked about queues that hold nothing", () => {
  it("keeps nothing of them, whoever has asked or waited", async () => {
    const store = memoryStore();
    const before = heapUsed();
    for (let n = 0; n < NAMES; n += 1) {
      const queue = `empty-${n}`;
      await store.stats(queue);
      await store.claim(queue, { worker: "w", max: 1, leaseMs: 1_000 });
      const stop = new AbortController();
      const waiting = store.waitForWork(queue, stop.signal).catch(() => {});
      stop.abort();
      await waiting;
    }
    const bytes = heapUsed() - before;
    expect(bytes / NAMES).toBeLessThan(500);
    await store.close();
  });

  it("keeps what was paused, scheduled or waited for, and all that has ever had a task", async () => {
    const store = memoryStore();
    await store.pause("paused", true);
    expect((await store.meter("paused")).paused).toBe(true);
    await store.setSchedule("scheduled", { key: "k", text: "", nextAt: 1 });
    expect(await store.schedules("scheduled")).toHaveLength(1);
    const stop = new AbortController();
    const waiting = store.waitForWork("waited", stop.signal);
    await store.stats("waited");
    const task = { id: "t", name: "t", input: { text: "", blobs: [] }, delayMs: 0, priority: 0 };
    const limits = { maxAttempts: 1, maxLeaseLosses: 1, keepMs: 1, keepFailedMs: 1 };
    await store.enqueue("waited", [{ ...task, ...limits }], { limit: 1 });
    await waiting;
    await store.cancel("waited", ["t"], "no");
    await store.discard("waited", ["t"]);
    expect(await store.meter("waited")).toMatchObject({ added: 1, cancelled: 1 });
    await store.close();
  });
});

describe("the lines of a store on a server", () => {
  it("are so many at most, but for those on which something is on its way", () => {
    const closed: string[] = [];
    const lines = new Lines((queue) => ({
      queue,
      isIdle: !queue.startsWith("busy"),
      close: () => void closed.push(queue),
    }));
    const busy = Array.from({ length: 50 }, (_, n) => lines.of(`busy-${n}`));
    for (let n = 0; n < NAMES; n += 1) lines.of(`idle-${n}`);
    expect(lines.size).toBeLessThanOrEqual(MAX_LINES);
    expect(busy.map(({ queue }) => lines.of(queue))).toEqual(busy);
    lines.close();
    expect(closed).toEqual(expect.arrayContaining(busy.map(({ queue }) => queue)));
    expect(lines.size).toBe(0);
  });
});
