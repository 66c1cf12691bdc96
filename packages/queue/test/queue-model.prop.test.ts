import type { QueueStore } from "@holdfast/queue";
import { defineTask, handle, hasEnded, memoryStore, PermanentError } from "@holdfast/queue";
import type { ManualClock } from "@holdfast/core/testing";
import { faulty, manualClock, seededRandom } from "@holdfast/core/testing";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { bench } from "./bench.ts";
import type { Break } from "./broken-stores.ts";
import * as family from "./broken-families.ts";
import * as oversight from "./broken-oversight.ts";
import * as shares from "./broken-shares.ts";
import * as broken from "./broken-stores.ts";
import type { TimedStore } from "./follows-reference.ts";
import { followsReference } from "./follows-reference.ts";

/** A store on a clock that stands still. */
function timed(make: (clock: ManualClock) => QueueStore): () => TimedStore {
  return () => {
    const clock = manualClock();
    return { store: make(clock), advance: (ms) => clock.advance(ms) };
  };
}

describe("any history of a queue", () => {
  it("goes as in the reference on the memory store", { timeout: 120_000 }, async () => {
    await fc.assert(followsReference(timed((clock) => memoryStore({ clock }))), { numRuns: 2_000 });
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
    "loses what was told before": family.lostSignal,
    "wakes for whatever is told": family.anySignal,
    "tells a task twice": family.repeatedSignal,
    "waits for ever": family.endlessWait,
    "takes a try for sleeping": family.costlySleep,
    "waits for the first of some events alone": family.firstEventOnly,
    "waits for an event alone": family.eventOnly,
    "adopts orphans": family.adoptedOrphans,
    "makes room for orphans": family.roomForOrphans,
    "cancels no children": family.parentless,
    "does not wait for children": family.unawaited,
    "waits for children that were not added": family.ghosts,
    "takes the children of another for its own": family.childrenById,
    "waits for a redriven child again": family.countedTwice,
    "keeps the checkpoints of zombies": family.unfencedCheckpoints,
    "knows no tenants": shares.tenantless,
    "knows no weights": shares.weightless,
    "forgets a tenant that has nothing to do": shares.forgottenTenants,
    "never forgets turns": shares.eternalTurns,
    "starts tasks of groups at any rate": shares.unlimitedRate,
    "rounds rates": shares.roundedRate,
    "has buckets that are too large": shares.largeBucket,
    "takes the limit that was said first": shares.firstLimit,
    "listens to tasks that are not added": shares.hearsay,
    "lets tasks expire a millisecond late": shares.lateExpiry,
    "lets expire what was started": shares.lateVictims,
    "fires what has changed": oversight.firedByKey,
    "does not move on without a task": oversight.stuckSchedules,
    "does not measure waits": oversight.stoppedWatch,
    "does not pause": oversight.restless,
  };
  it.each(Object.entries(mutants))("finds out a store that %s", async (_, breakIt) => {
    const found = await fc.check(followsReference(timed((clock) => broken.brokenStore(clock, breakIt))), {
      numRuns: 2_000,
      seed: 1,
      endOnFailure: true,
    });
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
