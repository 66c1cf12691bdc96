// The suite is only as good as the faults it finds: each of these stores must fail it, on the clause it breaks.
import { queueStoreConformance } from "@holdfast/queue/testing";
import type { ManualClock } from "@holdfast/core/testing";
import { manualClock } from "@holdfast/core/testing";
import { describe, expect, it } from "vitest";
import type { Break } from "./broken-stores.ts";
import * as basics from "./broken-basics.ts";
import * as family from "./broken-families.ts";
import * as oversight from "./broken-oversight.ts";
import * as shares from "./broken-shares.ts";
import * as broken from "./broken-stores.ts";

function clauseTitles(): readonly string[] {
  const titles: string[] = [];
  const runner = {
    describe: (_: string, body: () => void) => body(),
    it: (title: string) => titles.push(title),
  };
  queueStoreConformance(runner, {
    make: () => Promise.reject(new Error("not run")),
    advance: async () => {},
  });
  return titles;
}

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
  "shows no input of a dead letter": [
    oversight.inputlessDead,
    "shows the input of a task that lives or has failed",
  ],
  "shows an input without its version": [
    oversight.inputWithoutMeta,
    "shows the input of a task that lives or has failed",
  ],
  "shows a result as an input": [
    oversight.resultAsInput,
    "shows no input of a task that has completed or was cancelled",
  ],
  "lists the newest dead letter first": [
    broken.newestFirst,
    "lists failed tasks alone, the oldest failure first",
  ],
  "counts what is gone": [broken.staleCounts, "counts tasks by state as a look at each of them would"],
  "is full of nothing": [basics.fullOfNothing, "adds nothing for an empty list"],
  "keeps no bytes": [basics.byteless, "gives workers inputs and readers results as they were put in"],
  "takes a taken ID for a duplicate": [basics.misnamed, "refuses an ID that is taken"],
  "names the duplicate itself": [basics.misnamed, "names the live task that has a dedup key"],
  "looks at tasks later": [basics.lazy, "takes no notice of what a caller does to a list"],
  "gives more than it is asked for": [basics.generous, "claims at most as many as are asked for"],
  "does not say who runs a task": [basics.tightLipped, "shows who runs a task"],
  "does not show progress": [basics.tightLipped, "shows the latest progress"],
  "answers renewals in another order": [
    basics.reversedRenewals,
    "answers for each lease that is to be renewed",
  ],
  "says that all was written": [basics.yesSayer, "takes one of two settlements of a lease"],
  "loses results": [basics.resultless, "completes a task with its result"],
  "never gives up": [basics.stubborn, "fails a task at once when there is to be no other try"],
  "answers settlements in another order": [basics.reversedOutcomes, "answers for each settlement in order"],
  "claims nothing when it had to refuse": [
    basics.offended,
    "claims more even when what it was to end is refused",
  ],
  "claims when nobody asked": [basics.eager, "claims nothing unless asked to"],
  "does not keep reasons": [basics.unreasoned, "ends a task that waits or runs, at once and for good"],
  "tells workers nothing, again and again": [basics.talkative, "tells nobody about a task that did not run"],
  "ends events that are still to come": [basics.endOfPage, "does not end the events of a task that lives"],
  "ends the events of redriven tasks": [basics.endedForEver, "goes on numbering when a task is redriven"],
  "does not wait for events": [
    basics.restlessEvents,
    "wakes who waits for events at each one, and not before",
  ],
  "takes one task's events for another's": [basics.restlessEvents, "wakes nobody for the events of another"],
  "waits for the events of nothing": [basics.endlessEvents, "wakes who waits for the events of a task when"],
  "answers redrives in another order": [basics.reversedRedrives, "redrives failed tasks alone"],
  "does not forget what is discarded": [basics.keepsDiscarded, "forgets ended tasks that are discarded"],
  "loses redriven tasks": [basics.losesRedriven, "forgets no live task, and none that was redriven"],
  "cannot be closed twice": [basics.closesOnce, "can be closed twice"],
  "lists checkpoints by name": [
    family.sortedCheckpoints,
    "keeps checkpoints in the order they were recorded",
  ],
  "overwrites checkpoints": [family.overwrittenCheckpoints, "leaves a checkpoint as it is that is there"],
  "does not check the fence of checkpoints": [
    family.unfencedCheckpoints,
    "refuses checkpoints under a lease that is not held",
  ],
  "keeps the checkpoints of forgotten tasks": [
    family.unfencedCheckpoints,
    "forgets checkpoints with their task",
  ],
  "does not count checkpoints": [family.uncountedCheckpoints, "keeps checkpoints over tries"],
  "loses what goes with a task": [
    broken.enqueueing(({ meta: _, ...task }) => task),
    "hands out with each claim what goes with a task",
  ],
  "lets nobody wait": [family.impatient, "lets a task wait for an event"],
  "loses what was told before": [family.lostSignal, "goes on at once when it has been told already"],
  "wakes for whatever is told": [family.anySignal, "goes on waiting when it is told something else"],
  "tells a task twice": [family.repeatedSignal, "tells a live task everything once"],
  "waits for ever": [family.endlessWait, "waits for an event no longer than it is to"],
  "takes a try for sleeping": [family.costlySleep, "sleeps for a time, and uses up no try"],
  "waits for nothing for ever": [family.stuck, "is ready at once when it waits for nothing"],
  "forgets the place of a task that waits": [broken.groupless, "keeps its place while it waits"],
  "does not count what waits": [family.uncountedWaits, "is alive while it waits"],
  "adopts orphans": [family.adoptedOrphans, "adds a child to a live parent alone"],
  "makes room for orphans": [family.roomForOrphans, "takes no room in a full queue for a child"],
  "does not wait for children": [family.unawaited, "begins as one that waits"],
  "waits for children that were not added": [family.ghosts, "is ready at once when the call that adds it"],
  "does not know children that come later": [
    family.lateChildren,
    "waits for children that are added later too",
  ],
  "lists children by ID": [
    family.sortedChildren,
    "lists the children of a task in the order they were added",
  ],
  "lets no task wait for its children": [family.impatient, "lets a task that runs wait for its children"],
  "waits for the first of some events alone": [
    family.firstEventOnly,
    "waits for whichever of some events comes first, and for none that has come",
  ],
  "waits for an event alone": [family.eventOnly, "waits for an event or its children"],
  "ends children with their parent": [family.dyingTogether, "leaves children alone when their parent"],
  "cancels no children": [family.parentless, "cancels the live children of a task, and theirs"],
  "waits for a redriven child again": [
    family.countedTwice,
    "does not wait for a child again that was redriven, nor count it twice",
  ],
  "takes the children of another for its own": [
    family.childrenById,
    "keeps a second life of a parent's ID apart",
  ],
  "lets nothing expire": [shares.immortal, "cancels it by itself, also while it is delayed"],
  "lets tasks expire a millisecond late": [
    shares.lateExpiry,
    "cancels a task that was not started in time, not a millisecond before",
  ],
  "lets only what is ready expire": [
    shares.sleepersDoNotExpire,
    "cancels it by itself, also while it is delayed",
  ],
  "delays what is to expire": [shares.delayedByExpiry, "is due at its time when that is before it expires"],
  "lets expire what was started": [shares.lateVictims, "does not let a task expire that was ever started"],
  "leaves the children of an expired task": [
    family.parentless,
    "takes the live children of an expired task along",
  ],
  "knows no tenants": [shares.tenantless, "lets tenants take turns"],
  "gives turns to tenants only for what is ready": [
    shares.turnsOfTheReady,
    "remembers the next turns of so many tenants",
  ],
  "knows no weights": [shares.weightless, "gives a tenant as many turns as it weighs"],
  "takes tasks without a tenant for strangers": [shares.manyNobodies, "takes all tasks without a tenant"],
  "forgets a tenant that has nothing to do": [
    shares.forgottenTenants,
    "remembers the turn of a tenant that has nothing to do",
  ],
  "never forgets turns": [shares.eternalTurns, "forgets turns when no task is live"],
  "runs one at a time of every group": [
    shares.oneAtATime,
    "lets as many tasks of a group run at a time as may",
  ],
  "starts tasks of groups at any rate": [
    shares.unlimitedRate,
    "starts as many tasks of a group as its bucket",
  ],
  "rounds rates": [shares.roundedRate, "counts parts of a millisecond"],
  "has buckets that are too large": [shares.largeBucket, "saves no tokens beyond a full bucket"],
  "knows no priorities in groups": [shares.groupsWithoutPriority, "claims of those that may run the highest"],
  "keeps no place for who is delayed": [shares.placeless, "keeps a place among those that may run"],
  "takes the limit that was said first": [shares.firstLimit, "takes the limit that was said last"],
  "never forgets a limit": [shares.firstLimit, "forgets a group that has no task and a full bucket"],
  "hears only the last word on a group": [shares.lastWord, "counts all that one call says of a group"],
  "listens to tasks that are not added": [shares.hearsay, "hears nothing about a group from a task"],
  "lists the last schedule first": [oversight.lastFirst, "keeps schedules until they are removed"],
  "begins schedules anew": [oversight.restartedSchedules, "leaves a schedule as it is that says the same"],
  "has no room for the last schedule": [oversight.crampedSchedules, "keeps so many schedules and no more"],
  "lets all fire who ask": [
    oversight.firedByAll,
    "adds a task and moves its schedule on, once for each time",
  ],
  "fires what has changed": [oversight.firedByKey, "changes nothing when the schedule is another one by now"],
  "fires into a full queue": [oversight.fireWithoutLimit, "changes nothing when the queue is full"],
  "does not move on without a task": [oversight.stuckSchedules, "moves on too when there is nothing to add"],
  "forgets what has happened": [oversight.forgetfulMeter, "counts what has happened, and goes on counting"],
  "does not measure waits": [oversight.stoppedWatch, "adds up how long tasks waited"],
  "takes the oldest for the next": [oversight.oldestHead, "tells since when the task that is next"],
  "lists more than it is asked for": [oversight.longLists, "lists tasks by state"],
  "does not pause": [oversight.restless, "claims nothing while a queue is paused"],
};

describe("the conformance suite", () => {
  it("passes a sound store behind the same wrapper", async () => {
    expect(await brokenClauses(() => ({}))).toEqual([]);
  });

  it.each(Object.entries(mutants))("rejects a store that %s", async (_, [breakIt, clause]) => {
    expect(await brokenClauses(breakIt)).toContainEqual(expect.stringContaining(clause));
  });

  it("has no clause that none of them breaks", { timeout: 120_000 }, async () => {
    const found = new Set<string>();
    for (const [breakIt] of Object.values(mutants))
      for (const title of await brokenClauses(breakIt)) found.add(title);
    expect(clauseTitles().filter((title) => !found.has(title))).toEqual([]);
  });
});
