// Waiting until a queue has worked off what there is.
import { leakCheck } from "@holdfast/core/testing";
import type { DrainReport, QueueStats } from "@holdfast/queue";
import { defineTask, handle } from "@holdfast/queue";
import { describe, expect, it } from "vitest";
import { bench, gate, rejection } from "./bench.ts";

const job = defineTask<number, number, number>({ name: "job" });

describe("drain", () => {
  it("answers at once when there is nothing to do, also without time", async () => {
    const { queue } = bench();
    expect(await queue.drain({ within: 0 })).toMatchObject({ drained: true, stats: { ready: 0 } });
  });

  it("answers once the last task has ended, and looks no more often than it must", async () => {
    const { queue, clock, store, work } = bench();
    let looks = 0;
    const { stats } = store;
    (store as { stats: typeof stats }).stats = (...args) => ((looks += 1), stats.apply(store, args));
    await using _ = work([handle(job, async ({ input }) => (await clock.sleep("10s"), input))], {
      concurrency: 2,
    });
    await queue.enqueueMany(job, [{ input: 1 }, { input: 2 }, { input: 3 }]);
    const reports: DrainReport[] = [];
    void queue.drain({ within: "1m" }).then((report) => reports.push(report));
    await clock.advance("19999ms");
    expect(reports).toEqual([]);
    expect(looks).toBeLessThan(15);
    await clock.advance("100ms");
    expect(reports).toMatchObject([{ drained: true, stats: { completed: 3, running: 0 } }]);
  });

  it("says that it is not when its time is up, and how the queue stands", async () => {
    const { queue, clock } = bench();
    await queue.enqueue(job, 1);
    const draining = queue.drain({ within: "3s" });
    await clock.advance("3s");
    expect(await draining).toMatchObject({ drained: false, stats: { ready: 1 } });
    expect(await queue.drain({ within: 0 })).toMatchObject({ drained: false, stats: { ready: 1 } });
  });

  it("waits for as much as it is told to: what runs, what is ready, or all", async () => {
    const { queue, clock, work, settle } = bench();
    const held = gate<number>();
    await using _ = work([handle(job, () => held.promise)], { concurrency: 1 });
    await queue.enqueue(job, 1);
    await settle();
    await queue.pause();
    await queue.enqueue(job, 2);
    await queue.enqueue(job, 3, { delay: "1h" });
    const seen: string[] = [];
    for (const until of ["stopped", "idle", "empty"] as const)
      void queue.drain({ until, within: "1d" }).then(({ drained }) => seen.push(`${until} ${drained}`));
    await clock.advance("1m");
    expect(seen).toEqual([]);
    held.open(1);
    await clock.advance("10s");
    expect(seen).toEqual(["stopped true"]);
    await queue.resume();
    await clock.advance("10s");
    expect(seen).toEqual(["stopped true", "idle true"]);
    await clock.advance("1h");
    expect(seen).toEqual(["stopped true", "idle true", "empty true"]);
  });

  it("rejects with its signal's reason, also while the store is silent, and leaves nothing behind", async () => {
    const { queue, clock, store } = bench();
    await queue.enqueue(job, 1);
    const stop = new AbortController();
    const leaks = leakCheck({ clocks: [clock], signals: [stop.signal] });
    const draining = rejection(queue.drain({ signal: stop.signal }));
    await clock.advance("7s");
    const reason = new Error("enough");
    stop.abort(reason);
    expect(await draining).toBe(reason);
    await clock.advance(0);
    leaks.assertNone();
    expect(await rejection(queue.drain({ signal: stop.signal }))).toBe(reason);

    (store as { stats: typeof store.stats }).stats = () => new Promise<QueueStats>(() => {});
    const again = new AbortController();
    const silent = rejection(queue.drain({ signal: again.signal }));
    again.abort(reason);
    expect(await silent).toBe(reason);
    const patient = rejection(queue.drain({ within: "5s" }));
    await clock.advance("5s");
    expect((await patient).code).toBe("TIMEOUT");
  });

  it("rejects with the store's error, and for what is no option of it", async () => {
    const { queue, store } = bench();
    (store as { stats: typeof store.stats }).stats = () => Promise.reject(new Error("down"));
    expect((await rejection(queue.drain())).message).toBe("down");
    for (const options of [{ until: "tea" }, { within: -1 }])
      expect((await rejection(queue.drain(options as never))).code).toBe("INVALID_OPTION");
  });
});
