// The suite is only as good as the faults it finds: each of these stores must fail it, on the clause it breaks.
import { queueStoreConformance } from "@holdfast/queue/testing";
import type { ManualClock } from "@holdfast/core/testing";
import { manualClock } from "@holdfast/core/testing";
import { describe, expect, it } from "vitest";
import type { Break } from "./broken-stores.ts";
import * as broken from "./broken-stores.ts";

/** Titles of the clauses that a store does not keep. */
async function brokenClauses(breakIt: Break): Promise<readonly string[]> {
  const tests: { readonly title: string; readonly body: () => Promise<void> }[] = [];
  let clock: ManualClock;
  queueStoreConformance(
    {
      describe: (_, body) => body(),
      it: (title, body) => tests.push({ title, body }),
    },
    {
      make: () => broken.brokenStore((clock = manualClock()), breakIt),
      advance: (ms) => clock.advance(ms),
    },
  );
  const failed: string[] = [];
  for (const { title, body } of tests) {
    try {
      await body();
    } catch {
      failed.push(title);
    }
  }
  return failed;
}

const mutants: Readonly<Record<string, readonly [Break, string]>> = {
  "does not check the fence of reports": [
    broken.unfencedReports,
    "refuses every write of a worker whose lease has ended",
  ],
  "takes the attempt for the fence": [broken.attemptAsFence, "gives each lease on a task a higher fence"],
  "gives a task to two who ask at a time": [
    broken.doubleClaim,
    "leases no task twice to those who ask at the same time",
  ],
  "looks dedup keys up before it writes them": [broken.racyDedup, "adds one of two with the same dedup key"],
  "never frees a dedup key": [broken.stuckDedup, "frees a dedup key when its task"],
  "loses wake-ups": [broken.lostWakeUp, "loses no wake-up between a claim that found nothing and the wait"],
  "wakes one of those who wait": [
    broken.wakesOne,
    "still wakes the others when one of those who wait has given up",
  ],
  "leaves listeners behind": [
    broken.leakyWaits,
    "leaves no listener behind on the signal of a wait that has ended",
  ],
  "takes a zombie's result": [broken.zombieResult, "refuses every write of a worker whose lease has ended"],
  "overwrites the end of a task": [broken.overwrittenEnd, "changes nothing about a task that has ended"],
  "keeps leases a millisecond too long": [broken.leasesOffBy(1), "ends a lease at its very end"],
  "ends leases a millisecond too early": [
    broken.leasesOffBy(-1),
    "keeps a lease until a millisecond before its end",
  ],
  "does not say that a task was cancelled": [
    broken.causeless,
    "refuses every write of the worker that ran it and says why",
  ],
  "ignores groups": [broken.groupless, "lets one task of a group run at a time"],
  "ignores priorities": [
    broken.enqueueing((task) => ({ ...task, priority: 0 })),
    "claims the highest priority first, then the oldest",
  ],
  "ends delays a millisecond too early": [
    broken.enqueueing((task) => ({ ...task, delayMs: Math.max(0, task.delayMs - 1) })),
    "holds a delayed task back until its time",
  ],
  "keeps ended tasks for ever": [
    broken.enqueueing((task) => ({ ...task, keepMs: 1e12, keepFailedMs: 1e12 })),
    "keeps completed and cancelled tasks as long as they are to be kept",
  ],
  "forgives one lease loss too many": [
    broken.enqueueing((task) => ({ ...task, maxLeaseLosses: task.maxLeaseLosses + 1 })),
    "fails a task whose lease was lost once more than it may be",
  ],
  "allows one try too many": [
    broken.enqueueing((task) => ({ ...task, maxAttempts: task.maxAttempts + 1 })),
    "tries a task again after the wait that was asked for, as often as it may be tried",
  ],
  "adds before it counts": [broken.lateLimit, "adds all or none: what would not fit changes nothing"],
  "takes a try for a release": [broken.costlyRelease, "uses up no try when a task is given back"],
  "claims before it settles": [broken.claimBeforeSettle, "claims more in the same step"],
  "ends events before the last page": [broken.earlyEnd, "hands events out in pages"],
  "forgets cancels that nobody waits for": [broken.forgottenRevocations, "tells the worker that ran it"],
  "lists the newest dead letter first": [
    broken.newestFirst,
    "lists failed tasks alone, the oldest failure first",
  ],
  "counts what is gone": [broken.staleCounts, "counts tasks by state as a look at each of them would"],
};

describe("the conformance suite", () => {
  it("passes a sound store behind the same wrapper", async () => {
    expect(await brokenClauses(() => ({}))).toEqual([]);
  });

  it.each(Object.entries(mutants))("rejects a store that %s", async (_, [breakIt, clause]) => {
    expect(await brokenClauses(breakIt)).toContainEqual(expect.stringContaining(clause));
  });
});
