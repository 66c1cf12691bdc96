import type { QueueStore } from "@holdfast/queue";
import { defineTask, handle, hasEnded } from "@holdfast/queue";
import { leakCheck } from "@holdfast/core/testing";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { bench } from "./bench.ts";

const work = defineTask<number, number, number>({
  name: "work",
  attempts: 2,
  backoff: { summary: "at once", next: () => ({ delayMs: 0, state: 0 }) },
});

/** A store whose calls take effect, and are answered, in any order. */
function reordered(store: QueueStore, scheduler: fc.Scheduler): QueueStore {
  return new Proxy(store, {
    get(target, key: keyof QueueStore) {
      const method = target[key];
      if (typeof method !== "function") return method;
      return async (...args: never[]) => {
        await scheduler.schedule(Promise.resolve(), `${key}() is sent`);
        const answer: unknown = await (method as (...given: never[]) => Promise<unknown>).apply(target, args);
        await scheduler.schedule(Promise.resolve(), `${key}() is answered`);
        return answer;
      };
    },
  });
}

type Act = "pause" | "resume" | "cancel" | "enqueue";

describe("workers, in whatever order a store answers and handlers end", () => {
  it("run no more at a time than they may, end every task once, and leave nothing behind", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.scheduler(),
        fc.array(fc.record({ fails: fc.boolean(), reports: fc.boolean() }), { minLength: 1, maxLength: 6 }),
        fc.array(fc.integer({ min: 1, max: 3 }), { minLength: 1, maxLength: 2 }),
        fc.array(fc.constantFrom<Act>("pause", "resume", "cancel", "enqueue"), { maxLength: 6 }),
        async (scheduler, plans, concurrencies, acts) => {
          const { clock, store, queue } = bench();
          const leaks = leakCheck({ clocks: [clock] });
          const at = bench({ store: reordered(store, scheduler), clock });
          const drain = async (): Promise<void> => {
            for (;;) {
              await clock.advance(0);
              for (const { working, concurrency } of workers)
                if (working.running > concurrency) faults.push(`${working.running} tasks held`);
              if (scheduler.count() === 0) return;
              await scheduler.waitOne();
            }
          };
          const ids = (
            await queue.enqueueMany(
              work,
              plans.map((_, input) => ({ input })),
            )
          ).map(({ id }) => id);
          const faults: string[] = [];
          const holders = new Map<string, number>();
          const workers = concurrencies.map((concurrency) => {
            let running = 0;
            const handler = handle(work, async ({ id, input, attempt, signal, progress }) => {
              if ((running += 1) > concurrency) faults.push(`${running} handlers at a time`);
              // Nobody else runs it, unless that one has been told to stop.
              if (holders.get(id) === 1) faults.push(`two handlers of task ${input}`);
              const leave = (): void => void holders.set(id, 0);
              holders.set(id, 1);
              signal.addEventListener("abort", leave, { once: true });
              try {
                await scheduler.schedule(Promise.resolve(), `handler of ${input}`);
                if (plans[input]?.reports === true) void progress(attempt);
                if (plans[input]?.fails === true && attempt === 1) throw new Error("once");
                return input;
              } finally {
                leave();
                running -= 1;
              }
            });
            const working = at.work([handler], { concurrency });
            return { working, concurrency };
          });
          const acted = (async () => {
            for (const [index, act] of acts.entries()) {
              await scheduler.schedule(Promise.resolve(), act);
              const { working } = workers[index % workers.length]!;
              if (act === "pause") working.pause();
              else if (act === "resume") working.resume();
              else if (act === "cancel") await queue.cancel(ids[index % ids.length]!);
              else ids.push((await queue.enqueue(work, plans.length + index)).id);
            }
          })();
          await drain();
          await acted;
          for (const { working } of workers) working.resume();
          await drain();
          expect(faults).toEqual([]);
          for (const { working } of workers) expect(working.running).toBe(0);
          for (const id of ids) {
            const status = await queue.status(id);
            expect(["completed", "cancelled"]).toContain(status.state);
            const ends: string[] = [];
            for await (const { type } of queue.events(id))
              if (hasEnded({ state: type as never })) ends.push(type);
            expect(ends).toEqual([status.state]);
          }
          const closing = workers.map(({ working }) => working.close({ within: "1s" }));
          await drain();
          expect(await Promise.all(closing)).toEqual(workers.map(() => ({ finished: 0, givenBack: 0 })));
          await drain();
          await store.close();
          leaks.assertNone();
        },
      ),
      { numRuns: 200 },
    );
  });

  it("give back or finish all they hold when they close in the middle of it", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.scheduler(),
        fc.integer({ min: 1, max: 6 }),
        fc.integer({ min: 1, max: 3 }),
        fc.nat(40),
        async (scheduler, tasks, concurrency, steps) => {
          const { clock, store, queue } = bench();
          const at = bench({ store: reordered(store, scheduler), clock });
          await queue.enqueueMany(
            work,
            Array.from({ length: tasks }, (_, input) => ({ input })),
          );
          const handler = handle(work, async ({ input }) => {
            await scheduler.schedule(Promise.resolve(), `handler of ${input}`);
            return input;
          });
          const working = at.work([handler], { concurrency });
          for (let step = 0; step < steps; step += 1) {
            await clock.advance(0);
            if (scheduler.count() > 0) await scheduler.waitOne();
          }
          const before = (await queue.stats()).completed;
          const closing = working.close({ within: "1s" });
          for (;;) {
            await clock.advance(0);
            if (scheduler.count() === 0) break;
            await scheduler.waitOne();
          }
          const { finished, givenBack } = await closing;
          const { ready, running, completed } = await queue.stats();
          expect({ running, all: ready + completed }).toEqual({ running: 0, all: tasks });
          // What the store had taken before it had said so counts as well.
          expect(finished).toBeGreaterThanOrEqual(completed - before);
          expect(givenBack).toBeLessThanOrEqual(ready);
        },
      ),
      { numRuns: 200 },
    );
  });
});
