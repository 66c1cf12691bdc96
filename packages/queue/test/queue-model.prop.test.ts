import type { QueueStore } from "@holdfast/queue";
import { defineTask, handle, hasEnded, memoryStore, PermanentError } from "@holdfast/queue";
import type { QueueModelSubject } from "@holdfast/queue/testing";
import { QueueModelError, queueStoreModel } from "@holdfast/queue/testing";
import type { ManualClock } from "@holdfast/core/testing";
import { faulty, manualClock, seededRandom } from "@holdfast/core/testing";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { bench, rejection } from "./bench.ts";
import type { Break } from "./broken-stores.ts";
import * as family from "./broken-families.ts";
import * as oversight from "./broken-oversight.ts";
import * as shares from "./broken-shares.ts";
import * as broken from "./broken-stores.ts";
import * as waits from "./broken-waits.ts";

/** A store on a clock that stands still. */
function timed(make: (clock: ManualClock) => QueueStore): QueueModelSubject {
  let clock: ManualClock;
  return { make: () => make((clock = manualClock())), advance: (ms) => clock.advance(ms) };
}

describe("any history of a queue", () => {
  it(
    "goes as in the reference on the memory store, where I1 to I10, I12 and I14 hold",
    { timeout: 240_000 },
    async () => {
      await queueStoreModel(
        timed((clock) => memoryStore({ clock })),
        { histories: 1_500 },
      );
    },
  );

  const mutants: Readonly<Record<string, Break>> = {
    "does not check the fence of reports [I4]": broken.unfencedReports,
    "takes the attempt for the fence [I4]": broken.attemptAsFence,
    "never frees a dedup key [I9]": broken.stuckDedup,
    "takes a zombie's result [I4]": broken.zombieResult,
    "overwrites the end of a task [I2]": broken.overwrittenEnd,
    "keeps leases a millisecond too long [I3]": broken.leasesOffBy(1),
    "ends leases a millisecond too early [I3]": broken.leasesOffBy(-1),
    "ignores groups [I7, I8]": broken.groupless,
    "adds before it counts": broken.lateLimit,
    "takes a try for a release [I5]": broken.costlyRelease,
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
    "keeps the checkpoints of zombies [I10]": family.unfencedCheckpoints,
    "knows no tenants": shares.tenantless,
    "knows no weights": shares.weightless,
    "forgets a tenant that has nothing to do": shares.forgottenTenants,
    "never forgets turns": shares.eternalTurns,
    "starts tasks of groups at any rate [I8]": shares.unlimitedRate,
    "rounds rates": shares.roundedRate,
    "has buckets that are too large [I8]": shares.largeBucket,
    "takes the limit that was said first": shares.firstLimit,
    "listens to tasks that are not added": shares.hearsay,
    "lets tasks expire a millisecond late [I6]": shares.lateExpiry,
    "lets expire what was started": shares.lateVictims,
    "fires what has changed": oversight.firedByKey,
    "does not move on without a task": oversight.stuckSchedules,
    "does not measure waits": oversight.stoppedWatch,
    "does not pause": oversight.restless,
    "tells nobody that a task was cancelled [I14]": waits.deafTo("cancelled"),
    "tells nobody that a task has failed [I14]": waits.deafTo("failed"),
    "tells nobody that a task is completed [I14]": waits.deafTo("completed"),
    "leaves waits open when it closes [I14]": waits.openWaits,
    "counts what is cancelled again [I1, I12]": waits.countedAgain,
  };
  it.each(Object.entries(mutants))("finds out a store that %s", async (_, breakIt) => {
    const subject = timed((clock) => broken.brokenStore(clock, breakIt));
    const judged = queueStoreModel(subject, { histories: 2_000, seed: 1, shrink: false });
    await expect(judged).rejects.toThrow(QueueModelError);
  });
});

describe("a history that departs from the reference", () => {
  it("is told as the shortest that was found, with a seed that gives it again", async () => {
    const subject = timed((clock) => broken.brokenStore(clock, waits.deafTo("cancelled")));
    const first = await rejection(queueStoreModel(subject, { histories: 500, seed: 7 }));
    expect(first).toBeInstanceOf(QueueModelError);
    const { history, message, seed } = first as QueueModelError;
    expect(seed).toBe(7);
    expect(history).toHaveLength(3);
    expect(message).toContain("I14: who waits for");
    const again = await rejection(queueStoreModel(subject, { histories: 500, seed: 7 }));
    expect((again as QueueModelError).history).toEqual(history);
  });

  it("is not looked for with options that are out of range", async () => {
    const subject = timed((clock) => memoryStore({ clock }));
    await expect(queueStoreModel(subject, { histories: 0 })).rejects.toMatchObject({
      code: "INVALID_OPTION",
    });
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
