import type { QueueStore } from "@holdfast/queue";
import { defineTask, handle, hasEnded, memoryStore, PermanentError } from "@holdfast/queue";
import type { ManualClock } from "@holdfast/core/testing";
import { faulty, manualClock, seededRandom } from "@holdfast/core/testing";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { bench } from "./bench.ts";
import type { Break } from "./broken-stores.ts";
import * as broken from "./broken-stores.ts";
import { commands } from "./queue-commands.ts";
import { ReferenceQueue } from "./reference-queue.ts";

/** Any history of a queue goes as it does in the reference. */
function followsReference(make: (clock: ManualClock) => QueueStore) {
  return fc.asyncProperty(fc.commands([...commands], { maxCommands: 80, size: "max" }), async (history) => {
    const clock = manualClock();
    const store = make(clock);
    const setup = () => ({
      model: new ReferenceQueue(),
      real: { store, advance: (ms: number) => clock.advance(ms) },
    });
    try {
      await fc.asyncModelRun(setup, history);
    } finally {
      await store.close();
    }
  });
}

describe("any history of a queue", () => {
  it("goes as in the reference on the memory store", async () => {
    await fc.assert(
      followsReference((clock) => memoryStore({ clock })),
      { numRuns: 2_000 },
    );
  });

  const mutants: Readonly<Record<string, Break>> = {
    "does not check the fence of reports": broken.unfencedReports,
    "takes the attempt for the fence": broken.attemptAsFence,
    "never frees a dedup key": broken.stuckDedup,
    "takes a zombie's result": broken.zombieResult,
    "overwrites the end of a task": broken.overwrittenEnd,
    "keeps leases a millisecond too long": broken.leasesOffBy(1),
    "ends leases a millisecond too early": broken.leasesOffBy(-1),
    "ignores groups": broken.groupless,
    "adds before it counts": broken.lateLimit,
    "takes a try for a release": broken.costlyRelease,
    "claims before it settles": broken.claimBeforeSettle,
  };
  it.each(Object.entries(mutants))("finds out a store that %s", async (_, breakIt) => {
    const found = await fc.check(
      followsReference((clock) => broken.brokenStore(clock, breakIt)),
      { numRuns: 2_000, seed: 1, endOnFailure: true },
    );
    expect(found.failed).toBe(true);
  });
});

describe("workers that die and stores that fail now and then", () => {
  const work = defineTask<Plan, Plan, number>({ name: "work", attempts: 3, leaseLosses: 50, keepFor: "1d" });

  /** How often a task fails before it succeeds, and whether it gives up for good. */
  interface Plan {
    readonly number: number;
    readonly failures: number;
    readonly isHopeless: boolean;
    readonly ms: number;
  }

  const aPlan = fc.record({
    failures: fc.nat(2),
    isHopeless: fc.boolean(),
    ms: fc.constantFrom(0, 10, 700, 2_500),
  });

  it("lose no task, end each once, as it was to end, and never run it beside itself under a valid lease", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(aPlan, { minLength: 1, maxLength: 12 }),
        fc.array(fc.integer({ min: 1, max: 20_000 }), { minLength: 1, maxLength: 3 }),
        fc.integer({ min: 1, max: 1_000_000 }),
        async (plans, deaths, seed) => {
          const { clock, store, queue } = bench();
          const random = seededRandom(seed);
          const failed = new Map<string, number>();
          const effects = new Map<string, number>();
          const handler = handle(work, async ({ id, input, fence, signal }) => {
            await clock.sleep(input.ms, signal);
            // What a fenced resource downstream would do.
            if (fence < (effects.get(id) ?? 0)) throw new Error("stale");
            effects.set(id, fence);
            const failures = failed.get(id) ?? 0;
            if (failures < input.failures) {
              failed.set(id, failures + 1);
              throw new Error("not yet");
            }
            if (input.isHopeless) throw new PermanentError("hopeless");
            return input.number;
          });
          const tasks = await queue.enqueueMany(
            work,
            plans.map((plan, number) => ({ input: { ...plan, number } })),
          );
          // Each worker sees the store through its own bad line, which is cut for ever when the worker dies.
          const workers = deaths.map((diesAt) => {
            const line = faulty(store, {
              plan: () => {
                if (clock.monotonic() >= diesAt) return { kind: "hang" };
                const draw = random();
                if (draw < 0.1) return { kind: "error" };
                return draw < 0.2 ? { kind: "lost-reply" } : undefined;
              },
              clock,
            });
            return bench({ store: line, clock }).work([handler], { lease: "1s", concurrency: 2 });
          });
          await clock.advance("20s");
          const last = bench({ store, clock }).work([handler], { lease: "1s" });
          await clock.advance("30m");
          for (const [number, { id }] of tasks.entries()) {
            const status = await queue.status(id);
            expect(hasEnded(status)).toBe(true);
            expect(status.state).toBe(plans[number]!.isHopeless ? "failed" : "completed");
            if (status.state === "completed") expect(await queue.result(id)).toEqual({ value: number });
            const ends: string[] = [];
            for await (const { type } of queue.events(id))
              if (hasEnded({ state: type as never })) ends.push(type);
            expect(ends).toHaveLength(1);
          }
          const closing = [...workers, last].map((working) => working.close({ within: "1s" }));
          await clock.advance("1s");
          await Promise.all(closing);
        },
      ),
      { numRuns: 40 },
    );
  });
});
