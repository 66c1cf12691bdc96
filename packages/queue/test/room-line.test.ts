import type { QueueStats, QueueStore } from "@holdfast/queue";
import { defineTask, handle, QueueFullError, TooManyWaitingError } from "@holdfast/queue";
import { leakCheck } from "@holdfast/core/testing";
import { describe, expect, it } from "vitest";
import { bench, rejection } from "./bench.ts";

const job = defineTask<number, number, number>({ name: "job" });
const waiting = { whenFull: "wait" } as const;

/** A full queue of one task, and how often its store was called. */
async function full(options: Parameters<typeof bench>[0] = {}) {
  const made = bench({ limit: 1, random: () => 0.5, ...options });
  const calls = { enqueue: 0, stats: 0 };
  const { enqueue, stats } = made.store;
  const store = made.store as { -readonly [Name in keyof QueueStore]: QueueStore[Name] };
  store.enqueue = (...args) => ((calls.enqueue += 1), enqueue.apply(store, args));
  store.stats = (...args) => ((calls.stats += 1), stats.apply(store, args));
  const first = await made.queue.enqueue(job, 0);
  return { ...made, store, calls, first: first.id };
}

describe("a caller that waits for room in a full queue", () => {
  it("gets in once there is room, and sends its payload once before and once after", async () => {
    const { queue, clock, first, calls } = await full();
    const adding = queue.enqueue(job, 1, waiting);
    await clock.advance("10s");
    expect(calls.enqueue).toBe(2);
    // Looks ever less often: 2 s apart in the end.
    expect(calls.stats).toBeGreaterThan(8);
    expect(calls.stats).toBeLessThan(20);
    await queue.cancel(first);
    await clock.advance("2s");
    const { id } = await adding;
    expect((await queue.status(id)).state).toBe("ready");
    expect(calls.enqueue).toBe(3);
  });

  it("is served in the order of coming, also when a later one would fit", async () => {
    const { queue, clock, store, first } = await full({ limit: 3 });
    await queue.enqueueMany(job, [{ input: 0 }, { input: 0 }]);
    const served: string[] = [];
    const two = queue.enqueueMany(job, [{ input: 1 }, { input: 2 }], waiting).then(() => served.push("two"));
    const one = queue.enqueue(job, 3, waiting).then(() => served.push("one"));
    await clock.advance("1s");
    await queue.cancel(first);
    await clock.advance("10s");
    expect(served).toEqual([]);
    const [claimed] = await store.claim("bench", { worker: "w", max: 1, leaseMs: 60_000 });
    await queue.cancel(claimed!.id);
    await clock.advance("2s");
    expect(served).toEqual(["two"]);
    const [next] = await store.claim("bench", { worker: "w", max: 1, leaseMs: 60_000 });
    await queue.cancel(next!.id);
    await clock.advance("2s");
    await Promise.all([two, one]);
    expect(served).toEqual(["two", "one"]);
  });

  it("stands behind those who wait already, although there is room by now", async () => {
    const { queue, clock, first } = await full();
    const order: number[] = [];
    const early = queue.enqueue(job, 1, waiting).then(() => order.push(1));
    await clock.advance("100ms");
    await queue.cancel(first);
    const late = rejection(queue.enqueue(job, 2, { ...waiting, maxWait: "5s" })).then(() => order.push(2));
    await clock.advance("6s");
    await Promise.all([early, late]);
    expect(order).toEqual([1, 2]);
  });

  it("is told that the queue is full when its time is up", async () => {
    const { queue, clock } = await full({ maxWait: "3s" });
    const short = rejection(queue.enqueue(job, 1, { ...waiting, maxWait: "1s" }));
    const usual = rejection(queue.enqueue(job, 1, waiting));
    await clock.advance("1s");
    expect(await short).toBeInstanceOf(QueueFullError);
    await clock.advance("2s");
    expect(await usual).toMatchObject({ code: "QUEUE_FULL", live: 1, retryAfterMs: 1_000 });
  });

  it("rejects with its signal's reason and leaves no listener behind", async () => {
    const { queue, clock } = await full();
    const stop = new AbortController();
    const leaks = leakCheck({ signals: [stop.signal] });
    const adding = rejection(queue.enqueue(job, 1, { ...waiting, signal: stop.signal }));
    await clock.advance("1s");
    const reason = new Error("enough");
    stop.abort(reason);
    expect(await adding).toBe(reason);
    leaks.assertNone();
    await clock.advance("1m");
    expect((await queue.stats()).ready).toBe(1);
  });

  it("is refused when as many wait as may", async () => {
    const { queue, clock } = await full({ maxWaiting: 2 });
    const adding = [1, 2].map((input) => rejection(queue.enqueue(job, input, waiting)));
    await clock.advance(0);
    const error = await rejection(queue.enqueue(job, 3, waiting));
    expect(error).toBeInstanceOf(TooManyWaitingError);
    expect(error).toMatchObject({ code: "TOO_MANY_WAITING", waiting: 2, status: 503 });
    await clock.advance("30s");
    expect((await Promise.all(adding)).map(({ code }) => code)).toEqual(["QUEUE_FULL", "QUEUE_FULL"]);
  });

  it("does not wait for what can never fit", async () => {
    const { queue } = await full();
    const items = [{ input: 1 }, { input: 2 }];
    expect(await rejection(queue.enqueueMany(job, items, waiting))).toBeInstanceOf(QueueFullError);
  });

  it("is let go when the queue is closed", async () => {
    const { queue, clock } = await full();
    const adding = rejection(queue.enqueue(job, 1, waiting));
    await clock.advance("100ms");
    await queue.close();
    expect(await adding).toMatchObject({ code: "CLOSED" });
  });

  it("waits on while the store fails, and gets in when that is over", async () => {
    const { queue, clock, store, first } = await full();
    const { stats } = store;
    const adding = [1, 2].map((input) => queue.enqueue(job, input, waiting));
    let fails = 0;
    store.stats = () => ((fails += 1), Promise.reject(new Error("down")));
    await clock.advance("5s");
    expect(fails).toBeGreaterThan(3);
    expect(fails).toBeLessThan(20);
    store.stats = stats;
    await queue.cancel(first);
    await clock.advance("2s");
    const { id } = await adding[0]!;
    await queue.cancel(id);
    await clock.advance("2s");
    expect((await adding[1]!).duplicate).toBe(false);
  });

  it("is told what the store failed with when its own time is up meanwhile, and nobody else is", async () => {
    const { queue, clock, store, first } = await full();
    const { stats } = store;
    store.stats = () => Promise.reject(new Error("down"));
    const short = rejection(queue.enqueue(job, 1, { ...waiting, maxWait: "1s" }));
    const long = queue.enqueue(job, 2, { ...waiting, maxWait: "10s" });
    await clock.advance("1s");
    expect((await short).message).toBe("down");
    store.stats = stats;
    await queue.cancel(first);
    await clock.advance("2s");
    expect((await long).duplicate).toBe(false);
  });

  it("is rejected by the failure of its own call alone, which may have added its task", async () => {
    const { queue, clock, store, first } = await full();
    const { enqueue } = store;
    const adding = [1, 2].map((input) => queue.enqueue(job, input, waiting));
    const error = rejection(adding[0]!);
    await clock.advance("1s");
    let calls = 0;
    store.enqueue = (...args) =>
      (calls += 1) === 1 ? Promise.reject(new Error("cut")) : enqueue.apply(store, args);
    await queue.cancel(first);
    await clock.advance("2s");
    expect((await error).message).toBe("cut");
    expect((await adding[1]!).duplicate).toBe(false);
    expect(calls).toBe(2);
  });

  it("is let go at once when the store is closed", async () => {
    const { queue, clock, store } = await full();
    const adding = rejection(queue.enqueue(job, 1, waiting));
    await clock.advance("100ms");
    await store.close();
    await clock.advance("2s");
    expect((await adding).code).toBe("CLOSED");
  });

  it("waits no longer than its time for a store that never answers", async () => {
    const { queue, clock, store } = await full();
    store.stats = () => new Promise<QueueStats>(() => {});
    const adding = rejection(queue.enqueue(job, 1, { ...waiting, maxWait: "1s" }));
    await clock.advance("1s");
    expect(await adding).toBeInstanceOf(QueueFullError);
    const next = rejection(queue.enqueue(job, 1, { ...waiting, maxWait: "5m" }));
    await clock.advance("5m");
    expect(await next).toMatchObject({ code: "TIMEOUT" });
  });

  it("keeps hundreds in line while workers make room", async () => {
    const { queue, clock, work } = await full({ limit: 10 });
    await using _ = work([handle(job, async ({ input }) => (await clock.sleep("10ms"), input))]);
    const all = Array.from({ length: 300 }, (_, input) =>
      queue.enqueue(job, input, { ...waiting, maxWait: "10m" }),
    );
    await clock.advance("5m");
    expect(new Set((await Promise.all(all)).map(({ id }) => id)).size).toBe(300);
    expect((await queue.stats()).completed).toBe(301);
  });
});
