// Groups of which several tasks may run at a time, and groups that start so many in a time.
import { same } from "@holdfast/core/testing";
import type { GroupLimit, NewTask } from "../../store/store.ts";
import type { Clause, Trial } from "../trial.ts";
import { completed, failed, LEASE_MS, released, suspended } from "../trial.ts";

const group = "g";

/** Adds tasks of the group; answers their IDs. */
async function fill(t: Trial, ids: readonly string[], groupLimit?: GroupLimit): Promise<void> {
  const given: Partial<NewTask> = groupLimit === undefined ? { group } : { group, groupLimit };
  await t.enqueue(...ids.map((id) => t.task({ ...given, id })));
}

function rate(tasks: number, perMs: number): GroupLimit {
  return { concurrency: 100, rate: { tasks, perMs } };
}

export const groupLimitClauses: readonly Clause[] = [
  {
    title: "lets as many tasks of a group run at a time as may, those that were added first",
    check: async (t) => {
      await fill(t, ["1", "2", "3", "4", "5"], { concurrency: 3 });
      const [first, second] = await t.claim(10);
      same(await t.claimIds(), [], "what can run beside the first three");
      await t.settle(completed(second!));
      same(await t.claimIds(), ["4"], "what can run when one has completed");
      await t.cancel(first!.id);
      same(await t.claimIds(), ["5"], "what can run when another was cancelled");
    },
  },
  {
    title: "claims of those that may run the highest priority first",
    check: async (t) => {
      const limits = { group, groupLimit: { concurrency: 2 } };
      await t.add({ id: "low", ...limits, priority: -1 });
      await t.add({ id: "high", ...limits, priority: 1 });
      await t.add({ id: "highest", ...limits, priority: 2 });
      await t.add({ id: "free" });
      same(await t.claimIds(), ["high", "free", "low"], "what can run, in order");
      same(await t.claimIds(), [], "what can run beside them");
    },
  },
  {
    title: "keeps a place among those that may run for one that is delayed, waits or is tried again",
    check: async (t) => {
      const limits = { group, groupLimit: { concurrency: 3 } };
      await t.add({ id: "delayed", ...limits, delayMs: 100 });
      for (const id of ["waits", "fails", "4", "5"]) await t.add({ id, ...limits });
      const started = await t.claim(10);
      same(
        started.map(({ id }) => id),
        ["waits", "fails"],
        "what can run at first",
      );
      const [waits, fails] = started;
      await t.settle(suspended(waits!, { events: ["go"] }), failed(fails!, 50));
      same(await t.claimIds(), [], "what can run while three are kept a place");
      await t.signal("waits", "go");
      await t.advance(100);
      same(await t.claimIds(), ["delayed", "waits", "fails"], "what can run then");
    },
  },
  {
    title: "takes the limit that was said last: more may run at once, and fewer once enough have ended",
    check: async (t) => {
      await fill(t, ["1", "2", "3", "4"]);
      same(await t.claimIds(), ["1"], "what can run when nothing was said");
      await fill(t, ["5"], { concurrency: 3 });
      const [second, third] = await t.claim(10);
      same([second?.id, third?.id], ["2", "3"], "what can run when three may");
      await fill(t, ["6"]);
      await t.settle(released(third!));
      await fill(t, ["7"], { concurrency: 2 });
      same(await t.claimIds(), [], "what can run when two may, and two do");
      await t.settle(completed(second!));
      same(await t.claimIds(), ["3"], "what can run when one has completed");
      await t.cancel("1");
      same(await t.claimIds(), ["4"], "what can run when the other was cancelled");
    },
  },
  {
    title: "hears nothing about a group from a task that was not added",
    check: async (t) => {
      await fill(t, ["1", "2", "3"], { concurrency: 1 });
      await fill(t, ["2"], { concurrency: 3 });
      await t.enqueue(t.task({ group, groupLimit: { concurrency: 3 }, parent: "unknown" }));
      same(await t.claimIds(), ["1"], "what can run");
    },
  },
  {
    title: "wakes who waits for work when more may run",
    check: async (t) => {
      await fill(t, ["1", "2"]);
      await t.claimOne();
      const waiting = t.store.waitForWork(t.queue, new AbortController().signal);
      await t.goesOn(waiting, "waiting for work while one may run");
      await fill(t, ["3"], { concurrency: 2 });
      await t.ends(waiting, "waiting for work when two may");
      same(await t.claimIds(), ["2"], "what can run");
    },
  },
  {
    title: "starts as many tasks of a group as its bucket holds, and then one whenever it has a token again",
    check: async (t) => {
      await fill(t, ["1", "2", "3", "4", "5"], rate(2, 1_000));
      await t.add({ id: "free" });
      same(await t.claimIds(), ["1", "2", "free"], "what can start at once");
      await t.advance(499);
      same(await t.claimIds(), [], "what can start a millisecond before there is a token");
      await t.advance(1);
      same(await t.claimIds(), ["3"], "what can start when there is one");
      await t.advance(1_000);
      same(await t.claimIds(), ["4", "5"], "what can start when the bucket is full");
    },
  },
  {
    title: "counts parts of a millisecond: three in a second are three in each",
    check: async (t) => {
      await fill(t, ["1", "2", "3", "4", "5", "6", "7"], rate(3, 1_000));
      same((await t.claimIds()).length, 3, "how many can start at once");
      const [starts, ids] = [
        [333, 1, 332, 1, 332, 1],
        [[], ["4"], [], ["5"], [], ["6"]],
      ];
      for (const [index, ms] of starts.entries()) {
        await t.advance(ms);
        same(await t.claimIds(), ids[index], `what can start another ${ms} ms later`);
      }
    },
  },
  {
    title: "saves no tokens beyond a full bucket",
    check: async (t) => {
      const ids = ["1", "2", "3", "4", "5", "6"];
      await fill(t, ids, rate(2, 100));
      await t.claimIds();
      await t.advance(LEASE_MS - 1);
      same(await t.claimIds(), ["3", "4"], "what can start after a long time");
    },
  },
  {
    title: "takes a token for each start, also of a task that is given back or tried again",
    check: async (t) => {
      await fill(t, ["1", "2"], rate(2, 1_000));
      await t.settle(released(await t.claimOne()));
      await t.settle(failed(await t.claimOne(), 0));
      same(await t.claimIds(), [], "what can start");
      await t.advance(500);
      same(await t.claimIds(), ["1"], "what can start when there is a token again");
    },
  },
  {
    title: "remembers an empty bucket when no task of the group is left",
    check: async (t) => {
      await fill(t, ["1"], rate(1, 1_000));
      await t.settle(completed(await t.claimOne()));
      await t.advance(999);
      await fill(t, ["2"]);
      same(await t.claimIds(), [], "what can start a millisecond before there is a token");
      await t.advance(1);
      same(await t.claimIds(), ["2"], "what can start when there is one");
    },
  },
  {
    title: "forgets a group that has no task and a full bucket",
    check: async (t) => {
      await fill(t, ["1", "2"], { concurrency: 2, rate: { tasks: 2, perMs: 1_000 } });
      await t.settle(...(await t.claim(2)).map((claimed) => completed(claimed)));
      await t.advance(1_000);
      await fill(t, ["3", "4"]);
      same(await t.claimIds(), ["3"], "what can run when nothing was said since");
    },
  },
  {
    title:
      "carries over what was started when a rate changes, and begins with a full bucket when there was none",
    check: async (t) => {
      await fill(t, ["1", "2", "3", "4"], { concurrency: 100 });
      same((await t.claim(2)).length, 2, "how many start without a rate");
      await fill(t, ["5", "6", "7"], rate(2, 1_000));
      same(await t.claimIds(), ["3", "4"], "what can start of a full bucket");
      await fill(t, ["8"], rate(4, 2_000));
      same(await t.claimIds(), ["5", "6"], "what can start of one that is twice as large and half full");
      await fill(t, ["9"], rate(1, 100));
      same(await t.claimIds(), [], "what can start of one that is smaller");
      await t.advance(100);
      same(await t.claimIds(), ["7"], "what can start when that has a token");
      await fill(t, ["10"], { concurrency: 100 });
      same(await t.claimIds(), ["8", "9", "10"], "what can start when there is no rate any more");
    },
  },
  {
    title: "counts all that one call says of a group, in order",
    check: async (t) => {
      const say = (id: string, groupLimit: GroupLimit): NewTask => t.task({ id, group, groupLimit });
      await t.enqueue(say("1", rate(2, 1_000)), say("2", rate(2, 1_000)), say("3", rate(2, 1_000)));
      same(await t.claimIds(), ["1", "2"], "what can start of a full bucket");
      await t.enqueue(say("4", rate(2, 1_000)), say("5", { concurrency: 100 }), say("6", rate(2, 1_000)));
      same(await t.claimIds(), ["3", "4"], "what can start of a bucket that was not there for a moment");
      await t.enqueue(say("7", { concurrency: 100 }), say("8", rate(1, 1_000)), say("9", { concurrency: 5 }));
      same(await t.claimIds(), ["5"], "what can start beside the first four when only five may run");
    },
  },
  {
    title: "says the limit of a redriven task again when its group was forgotten, and only then",
    check: async (t) => {
      const groupLimit = { concurrency: 2, rate: { tasks: 2, perMs: 100 } };
      for (const id of ["1", "2", "3"]) {
        await t.fail({ id, group: "h", groupLimit });
        await t.advance(100);
      }
      await t.store.redrive(t.queue, ["1", "2", "3"]);
      const again = await t.claim(10);
      same(
        again.map(({ id }) => id),
        ["1", "2"],
        "what can run of a group that was forgotten",
      );
      await t.add({ id: "4", group: "h", groupLimit: { concurrency: 1 } });
      await t.settle(failed(again[0]!), failed(again[1]!));
      await t.store.redrive(t.queue, ["1", "2"]);
      same(await t.claimIds(), ["3"], "what can run of one for which something else was said since");
    },
  },
  {
    title: "wakes who waits for work when there is a token again",
    check: async (t) => {
      await fill(t, ["1", "2"], rate(1, 1_000));
      await t.claimOne();
      const waiting = t.store.waitForWork(t.queue, new AbortController().signal);
      await t.goesOn(waiting, "waiting for work without a token");
      await t.advance(800);
      await t.ends(waiting, "waiting for work when there is one");
      same(await t.claimIds(), ["2"], "what can start");
    },
  },
];
