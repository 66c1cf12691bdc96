// What went wrong in other servers, by the numbers of their issues: held against the pool on virtual time.
import { manualClock } from "@holdfast/core/testing";
import type { ScheduledRequest, SchedulerEvent } from "@holdfast/gpu-pool";
import { gpuPool, Scheduler } from "@holdfast/gpu-pool";
import { drawTrace, simulate, simulatedDevices } from "@holdfast/gpu-pool/sim";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ScriptedWorkers } from "./fixtures/scripted-workers.ts";
import { SchedulerBench, told } from "./fixtures/scheduler-bench.ts";

const times = { perItemMs: 1, fixedMs: 5 };

describe("queues", () => {
  it("[server#6796] the cap is exact under any burst: one more is refused, at once, and none before", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 20 }),
        fc.array(fc.oneof(fc.constant("ask"), fc.constant("done")), { maxLength: 80, size: "max" }),
        (queueLimit, steps) => {
          const bench = new SchedulerBench({ queueLimit });
          bench.up("a");
          let id = 0;
          for (const step of steps) {
            const before = bench.scheduler.waiting;
            const isIdle = bench.running.length === 0;
            if (step === "done") {
              const running = bench.running[0]?.ids[0];
              if (running !== undefined) bench.done(running);
              continue;
            }
            id += 1;
            const lines = told(bench.ask(id));
            if (isIdle) expect(lines).toEqual([`run ${id} on a`]);
            else expect(lines).toEqual(before === queueLimit ? [`refuse ${id}`] : []);
          }
        },
      ),
    );
  });

  it("[pytorch/serve#2322] models with batches of their own sizes do not spoil each other's", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 16 }),
        fc.integer({ min: 1, max: 16 }),
        fc.array(fc.boolean(), { minLength: 1, maxLength: 60, size: "max" }),
        (first, second, asks) => {
          const bench = new SchedulerBench({
            queueLimit: 1_000,
            models: [
              { key: "m@1", maxBatch: first, times },
              { key: "n", maxBatch: second, times },
            ],
          });
          const sizes: [string, number][] = [];
          const note = (commands: ReturnType<typeof bench.ask>): void => {
            for (const one of commands) if (one.type === "run") sizes.push([one.model, one.requests.length]);
          };
          asks.forEach((isFirst, id) => note(bench.ask(id, { model: isFirst ? "m@1" : "n" })));
          note(bench.up("a"));
          while (bench.running.length > 0) for (const id of bench.running[0]!.ids) note(bench.done(id));
          for (const [model, size] of sizes) expect(size).toBeLessThanOrEqual(model === "n" ? second : first);
          expect(sizes.reduce((sum, [, size]) => sum + size, 0)).toBe(asks.length);
          // No more batches than it takes.
          const most = asks.filter(Boolean).length / first + asks.filter((one) => !one).length / second;
          expect(sizes.length).toBeLessThanOrEqual(Math.ceil(most) + 2);
        },
      ),
    );
  });

  it("[ollama#7758] the cap holds for a model that is loaded as for one that is not", () => {
    fc.assert(
      fc.property(fc.boolean(), fc.integer({ min: 1, max: 8 }), (isLoaded, queueLimit) => {
        const bench = new SchedulerBench({ queueLimit, models: [{ key: "m@1", memoryBytes: 1 }] });
        bench.up("a", { memoryBytes: 1, loaded: isLoaded ? ["m@1"] : [] });
        bench.ask(99);
        const before = bench.scheduler.waiting;
        const lines = Array.from({ length: 20 }, (_, id) => told(bench.ask(id))).flat();
        expect(lines.filter((line) => line.startsWith("refuse"))).toHaveLength(20 - queueLimit + before);
      }),
    );
  });

  it("[ray PR#21438] whoever goes away leaves the queue, wherever in it, and costs no device time", () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.integer({ min: 1, max: 30 }), { maxLength: 30 }),
        fc.integer({ min: 1, max: 6 }),
        (leaving, maxBatch) => {
          const bench = new SchedulerBench({ models: [{ key: "m@1", maxBatch, times }] });
          for (let id = 1; id <= 30; id += 1) bench.ask(id, { priority: id % 3 });
          for (const id of leaving) expect(told(bench.cancel(id))).toEqual([`drop ${id} cancelled`]);
          expect(bench.scheduler.waiting).toBe(30 - leaving.length);
          const ran: number[] = [];
          bench.up("a");
          while (bench.running.length > 0) {
            const { ids } = bench.running[0]!;
            ran.push(...ids);
            for (const id of ids) bench.done(id);
          }
          expect(ran.toSorted((a, b) => a - b)).toEqual(
            Array.from({ length: 30 }, (_, index) => index + 1).filter((id) => !leaving.includes(id)),
          );
        },
      ),
    );
  });
});

describe("deadlines", () => {
  it("[server#7512] pass at their moment, however long what runs takes", () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 80_000 }), { minLength: 1, maxLength: 20 }),
        (deadlines) => {
          const bench = new SchedulerBench();
          bench.up("a");
          bench.ask(0);
          deadlines.forEach((deadline, index) => bench.ask(index + 1, { deadline }));
          const dropped: number[] = [];
          while (bench.scheduler.nextWake < Infinity) {
            bench.now = bench.scheduler.nextWake;
            for (const command of bench.timer())
              if (command.type === "drop") {
                expect(command.request.deadline).toBe(bench.now);
                dropped.push(command.request.id);
              }
          }
          // All while a batch of 90 s runs.
          expect(dropped).toHaveLength(deadlines.length);
          expect(bench.now).toBeLessThan(90_000);
        },
      ),
    );
  });

  it("[server#8870] that are never hit cost no throughput, however long the pool runs", () => {
    const model = { key: "m", times, sloMs: 10_000 };
    const run = (count: number): number => {
      const { spanMs, good } = simulate({
        scheduler: new Scheduler({ models: [{ key: "m", times, maxBatch: 16 }], queueLimit: 100_000 }),
        trace: drawTrace({ count, ratePerSecond: 1_300, seed: 1 }),
        models: [model],
        devices: simulatedDevices(2),
      });
      return good / spanMs;
    };
    const [short, long] = [run(5_000), run(50_000)];
    expect(long).toBeGreaterThan(0.99 * short);
  });

  it("[pytorch/serve#1815] [pytorch/serve#2357] a caller that has given up leaves a worker that is as good as before", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 50 }), { maxLength: 10 }), async (limits) => {
        const clock = manualClock();
        const workers = new ScriptedWorkers();
        const pool = gpuPool({ workers, models: [{ name: "m" }], clock, cancelGrace: 100 });
        await clock.advance(0);
        for (const deadline of limits) {
          const late = pool.run("m", 0, { deadline }).catch((error: unknown) => error);
          await clock.advance(60);
          expect(await late).toMatchObject({ code: "DEADLINE_EXCEEDED" });
        }
        const next = pool.run("m", 1);
        const [id] = [...workers.running.keys()];
        workers.succeed(id!, "well");
        expect(await next).toBe("well");
        // Told to stop, it stopped: nobody had to end it.
        expect(workers.log.filter((line) => line.startsWith("kill"))).toEqual([]);
        await pool.close();
      }),
      { numRuns: 30 },
    );
  });
});

describe("calls within calls", () => {
  /** Outer requests that keep their places until the inner ones, which they ask for, have ended. */
  function nested(priorities: readonly number[], places: (bench: SchedulerBench) => void): SchedulerBench {
    const bench = new SchedulerBench({ models: [{ key: "m@1" }, { key: "inner" }] });
    places(bench);
    priorities.forEach((priority, id) => bench.ask(id, { priority }));
    const asked = new Set<number>();
    const answered = new Set<number>();
    for (let isMoving = true; isMoving;) {
      isMoving = false;
      for (const [id] of bench.running.map(({ ids }) => ids)) {
        const isInner = id! >= 1_000;
        if (isInner || answered.has(id!)) {
          if (isInner) answered.add(id! - 1_000);
          bench.done(id!);
          isMoving = true;
        } else if (!asked.has(id!)) {
          asked.add(id!);
          // At the opposite priority: the first outer one asks for the last inner one.
          bench.ask(id! + 1_000, { model: "inner", priority: -priorities[id!]! });
          isMoving = true;
        }
      }
    }
    return bench;
  }

  const priorities = fc.array(fc.integer({ min: -3, max: 3 }), { minLength: 1, maxLength: 20 });

  it("[server#8358] outer requests that wait for inner ones end, at any priorities, where inner ones have a place of their own", () => {
    fc.assert(
      fc.property(priorities, fc.integer({ min: 1, max: 3 }), (asks, devices) => {
        const { scheduler } = nested(asks, (bench) => {
          for (let device = 0; device < devices; device += 1) bench.up(`outer-${device}`);
          bench.up("inner", { loaded: ["inner"] });
        });
        expect([scheduler.waiting, scheduler.running]).toEqual([0, 0]);
      }),
    );
  });

  it("[server#8358] and where there are more places than outer requests, whichever those take", () => {
    fc.assert(
      fc.property(priorities, (asks) => {
        const { scheduler } = nested(asks, (bench) => bench.up("d", { capacity: asks.length + 1 }));
        expect([scheduler.waiting, scheduler.running]).toEqual([0, 0]);
      }),
    );
  });

  it("[server#8358] with every place taken by an outer one, inner ones wait until their deadlines and no longer", () => {
    const bench = nested([0, 0], (one) => one.up("d", { capacity: 2 }));
    // The bound: nobody can run them, and the scheduler does not know that they are waited for.
    expect([bench.scheduler.waiting, bench.scheduler.running]).toEqual([2, 2]);
    bench.ask(3_000, { model: "inner", deadline: 50 });
    expect(bench.scheduler.nextWake).toBe(50);
    bench.now = 50;
    expect(told(bench.timer())).toEqual(["drop 3000 deadline"]);
  });
});

describe("memory", () => {
  it("[server#3854] what a batch may hold is found by what fits, not by a count of models", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 16 }), (count, room) => {
        const scheduler = new Scheduler<ScheduledRequest>({
          models: [{ key: "m", maxBatch: 16, times }],
          queueLimit: 1_000,
        });
        const answered = new Set<number>();
        const lost: number[] = [];
        const events: SchedulerEvent<ScheduledRequest>[] = Array.from({ length: count }, (_, id) => ({
          type: "request",
          request: { id, model: "m", priority: 0, deadline: Infinity },
        }));
        events.push({ type: "device-up", device: { id: "a", capacity: 1 } });
        let turns = 0;
        for (const event of events) {
          turns += 1;
          expect(turns).toBeLessThan(1_000);
          for (const command of scheduler.handle(event, turns)) {
            if (command.type === "lost") lost.push(command.request.id);
            if (command.type !== "run") continue;
            const { batch, requests } = command;
            if (requests.length > room) events.push({ type: "out-of-memory", batch });
            else {
              for (const { id } of requests) answered.add(id);
              events.push({ type: "batch-done", batch });
            }
          }
        }
        expect([answered.size, lost]).toEqual([count, []]);
      }),
    );
  });

  it("[ComfyUI#5488] a cancel is heard at once while the memory is full and a load is under way", async () => {
    const clock = manualClock();
    const workers = new ScriptedWorkers([{ id: "a", capacity: 1, memoryBytes: 10 }]);
    const models = [
      { name: "m", memoryBytes: 10 },
      { name: "n", memoryBytes: 10 },
    ];
    const pool = gpuPool({ workers, models, clock });
    await clock.advance(0);
    workers.behaviour.load = () => new Promise(() => {});
    const stop = new AbortController();
    const answer = pool.run("n", 1, { signal: stop.signal }).catch((error: unknown) => error);
    await clock.advance(1_000);
    stop.abort("enough");
    expect(await answer).toBe("enough");
    await pool.close({ within: 0 });
  });

  it("[ray#48741] replicas of hot models come back when their device does", () => {
    const bench = new SchedulerBench({
      models: [{ key: "m@1", memoryBytes: 4, times: { perItemMs: 20, fixedMs: 0 } }],
    });
    bench.up("a", { memoryBytes: 4, loaded: ["m@1"] });
    bench.up("b", { memoryBytes: 4, loaded: [] });
    const loads: string[] = [];
    const note = (lines: readonly string[]): void =>
      void loads.push(...lines.filter((line) => line.startsWith("load")));
    const crowd = (from: number): void => {
      for (let id = from; id < from + 60; id += 1) {
        note(told(bench.ask(id)));
        bench.now += 10;
        if (id % 2 === 0) note(told(bench.done(bench.running[0]!.ids[0]!)));
      }
    };
    crowd(0);
    expect(loads).toEqual(["load m@1 on b"]);
    bench.down("b");
    bench.up("b", { memoryBytes: 4, loaded: [] });
    crowd(1_000);
    expect(loads).toEqual(["load m@1 on b", "load m@1 on b"]);
  });
});
