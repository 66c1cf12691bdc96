import type { AutoscaleOptions, QueueMeasure, QueueMeter, QueueStats } from "@holdfast/queue";
import { autoscaleSignal, defineTask, handle, measureQueue } from "@holdfast/queue";
import { autoscaleApi } from "@holdfast/queue/http";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { row } from "../../../tools/systems/row.mjs";
import { bench } from "./bench.ts";

const stats: QueueStats = {
  scheduled: 0,
  waiting: 0,
  ready: 0,
  running: 0,
  completed: 0,
  failed: 0,
  cancelled: 0,
};
const meter: QueueMeter = {
  added: 0,
  started: 0,
  completed: 0,
  failed: 0,
  cancelled: 0,
  retried: 0,
  waitedMs: 0,
  ranMs: 0,
  paused: false,
};
const zero: QueueMeasure = { at: 0, stats, meter };

/** Ten seconds later. */
function later(change: { stats?: Partial<QueueStats>; meter?: Partial<QueueMeter> }): QueueMeasure {
  return { at: 10_000, stats: { ...stats, ...change.stats }, meter: { ...meter, ...change.meter } };
}

function wanted(after: QueueMeasure, options: AutoscaleOptions = {}): number {
  return autoscaleSignal(zero, after, options).wantedWorkers;
}

describe("autoscaleSignal", () => {
  it(row(184, "wants as many workers as keep up with what comes, by Little's law"), () => {
    // 20 a second of 3 s each keep 60 handlers busy.
    const after = later({ meter: { added: 200, completed: 200, started: 200, ranMs: 600_000 } });
    expect(wanted(after, { concurrency: 10 })).toBe(6);
    expect(wanted(after, { concurrency: 7 })).toBe(9);
  });

  it("wants more to start what is ready in time", () => {
    const after = later({ stats: { ready: 600 }, meter: { completed: 10, ranMs: 20_000 } });
    expect(wanted(after, { concurrency: 10, targetWait: "30s" })).toBe(4);
    expect(wanted(after, { concurrency: 10, targetWait: "2m" })).toBe(1);
  });

  it("counts tries that are made again", () => {
    const once = { added: 100, completed: 100, ranMs: 200_000 };
    expect(wanted(later({ meter: once }))).toBe(2);
    expect(wanted(later({ meter: { ...once, retried: 100 } }))).toBe(4);
  });

  it("wants none when there is nothing to do, one when there is little, and no more than it may", () => {
    expect(wanted(later({}))).toBe(0);
    expect(wanted(later({ stats: { ready: 1 } }))).toBe(1);
    expect(wanted(later({ stats: { ready: 1_000_000 } }))).toBe(100);
    expect(wanted(later({ stats: { ready: 1_000_000 } }), { maxWorkers: 7 })).toBe(7);
    expect(wanted(later({}), { minWorkers: 2 })).toBe(2);
  });

  it("does not take away what still runs, and wants no more while the queue is paused", () => {
    expect(wanted(later({ stats: { running: 25 } }))).toBe(3);
    const paused = { paused: true, added: 1_000 };
    expect(wanted(later({ stats: { ready: 500, running: 11 }, meter: paused }))).toBe(2);
    expect(wanted(later({ stats: { ready: 500 }, meter: paused }))).toBe(0);
  });

  it("assumes a run's time while there was none, and else takes the latest it knows", () => {
    const ready = { stats: { ready: 300 } };
    expect(autoscaleSignal(zero, later(ready), { assumedRun: "5s" })).toMatchObject({
      averageRunMs: 5_000,
      wantedWorkers: 5,
    });
    const before = { ...zero, meter: { ...meter, completed: 10, ranMs: 20_000 } };
    const idle = { ...later(ready), meter: before.meter };
    expect(autoscaleSignal(before, idle).averageRunMs).toBe(2_000);
  });

  it("is not thrown by two looks at one moment, or by a store that began anew", () => {
    expect(autoscaleSignal(zero, zero)).toMatchObject({ arrivalsPerSecond: 0, wantedWorkers: 0 });
    const before = { at: 0, stats, meter: { ...meter, added: 500, completed: 500 } };
    expect(autoscaleSignal(before, later({ stats: { ready: 1 } }))).toMatchObject({
      arrivalsPerSecond: 0,
      wantedWorkers: 1,
    });
  });

  it("wants no fewer when more is ready, or more comes", () => {
    const count = fc.nat(100_000);
    fc.assert(
      fc.property(count, count, count, count, (ready, more, added, ranMs) => {
        const at = (n: number, m: number): number =>
          wanted(later({ stats: { ready: n }, meter: { added: m, completed: 10, ranMs } }), {
            maxWorkers: 1_000_000,
          });
        expect(at(ready + more, added)).toBeGreaterThanOrEqual(at(ready, added));
        expect(at(ready, added + more)).toBeGreaterThanOrEqual(at(ready, added));
      }),
    );
  });

  it.each([
    [{ concurrency: 0 }, /concurrency/],
    [{ targetWait: 0 }, /targetWait/],
    [{ assumedRun: 0 }, /assumedRun/],
    [{ minWorkers: -1 }, /minWorkers/],
    [{ minWorkers: 5, maxWorkers: 4 }, /maxWorkers/],
  ])("refuses %o", (options, message) => {
    expect(() => autoscaleSignal(zero, zero, options)).toThrow(message);
    expect(() => autoscaleApi({ queue: bench().queue, ...options })).toThrow(message);
  });
});

describe("autoscaleApi", () => {
  const job = defineTask<number, number, number>({ name: "job" });
  const ask = new Request("http://localhost/scale");

  it("answers what a queue wants, from what has happened between two looks", async () => {
    const { queue, work, clock } = bench();
    const api = autoscaleApi({ queue, concurrency: 10, targetWait: "10s", window: "10s" });
    expect(await (await api(ask)).json()).toMatchObject({ ready: 0, wantedWorkers: 0 });
    await using _ = work([handle(job, async ({ input }) => (await clock.sleep("2s"), input))]);
    await queue.enqueueMany(
      job,
      Array.from({ length: 50 }, (_, input) => ({ input })),
    );
    await clock.advance("4s");
    const body = (await (await api(ask)).json()) as Record<string, number>;
    expect(body).toMatchObject({ running: 10, ready: 20, averageRunMs: 2_000, arrivalsPerSecond: 12.5 });
    expect(body["oldestReadyMs"]).toBe(4_000);
    // (12.5/s + 20 in 10 s) × 2 s = 29 handlers.
    expect(body["wantedWorkers"]).toBe(3);
    await clock.advance("6s");
    expect(await measureQueue(queue)).toMatchObject({ stats: { completed: 50 }, meter: { completed: 50 } });
  });

  it("asks the store once for those who come together, and its rates do not jump for those who come often", async () => {
    const { queue, store, clock } = bench();
    let looks = 0;
    const { meter: original } = store;
    (store as { meter: typeof original }).meter = (name) => ((looks += 1), original.call(store, name));
    const api = autoscaleApi({ queue, window: "10s" });
    await Promise.all([api(ask), api(ask), api(ask)]);
    expect(looks).toBe(1);
    await queue.enqueueMany(
      job,
      Array.from({ length: 100 }, (_, input) => ({ input })),
    );
    const rates = [];
    for (let second = 1; second <= 40; second += 1) {
      await clock.advance("1s");
      rates.push(((await (await api(ask)).json()) as { arrivalsPerSecond: number }).arrivalsPerSecond);
    }
    expect(rates[0]).toBe(100);
    expect(rates[9]).toBe(10);
    expect(rates.slice(9).every((rate) => rate <= 10)).toBe(true);
    expect(rates[39]).toBe(0);
  });

  it("answers what goes wrong as problem details", async () => {
    const { queue, store, clock } = bench();
    const api = autoscaleApi({ queue, deadline: "1s" });
    const posted = await api(new Request("http://localhost/scale", { method: "POST" }));
    expect([posted.status, posted.headers.get("allow")]).toEqual([405, "GET, HEAD"]);
    (store as { stats: unknown }).stats = () => new Promise(() => {});
    const asking = api(ask);
    await clock.advance("1s");
    expect((await asking).status).toBe(504);
    const closed = autoscaleApi({
      queue,
      authorize: () => {
        throw new TypeError("a mistake of the application's");
      },
    });
    await expect(closed(ask)).rejects.toThrow(TypeError);
  });
});
