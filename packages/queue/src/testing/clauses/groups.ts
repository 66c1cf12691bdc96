// Tasks of a group run one at a time, in the order they were added.
import { same } from "@holdfast/core/testing";
import type { Clause } from "../trial.ts";
import { completed, failed, LEASE_MS, released } from "../trial.ts";

const group = "g";

export const groupClauses: readonly Clause[] = [
  {
    title: "lets one task of a group run at a time, and other groups and tasks beside it",
    check: async (t) => {
      await t.add({ id: "a1", group: "a" });
      await t.add({ id: "a2", group: "a" });
      await t.add({ id: "b1", group: "b" });
      await t.add({ id: "free" });
      same(await t.claimIds(), ["a1", "b1", "free"], "what can run at a time");
      same((await t.status("a2")).group, "a", "the group in a status");
    },
  },
  {
    title: "keeps the order of a group against priorities",
    check: async (t) => {
      await t.add({ id: "first", group, priority: -5 });
      await t.add({ id: "second", group, priority: 5 });
      await t.add({ id: "free" });
      same(await t.claimIds(), ["free", "first"], "what can run at first");
    },
  },
  {
    title: "lets the next one run when the first completes, fails for good, is cancelled or lost too often",
    check: async (t) => {
      for (const id of ["1", "2", "3", "4", "5"]) await t.add({ id, group, maxLeaseLosses: 0 });
      await t.settle(completed(await t.claimOne()));
      const second = await t.claimOne();
      same(second.id, "2", "the one behind a completed one");
      await t.settle(failed(second));
      same((await t.claimOne()).id, "3", "the one behind a failed one");
      await t.cancel("3");
      same((await t.claimOne()).id, "4", "the one behind a cancelled one");
      await t.advance(LEASE_MS);
      same(await t.claimIds(), ["5"], "the one behind one that was lost");
    },
  },
  {
    title: "holds a group up behind one that is delayed",
    check: async (t) => {
      await t.add({ id: "late", group, delayMs: 100 });
      await t.add({ id: "next", group });
      same(await t.claimIds(), [], "what can run before its time");
      await t.advance(100);
      same(await t.claimIds(), ["late"], "what can run at its time");
    },
  },
  {
    title: "holds a group up behind one that waits for another try, and keeps that one's turn",
    check: async (t) => {
      await t.add({ id: "first", group });
      await t.add({ id: "next", group });
      await t.settle(failed(await t.claimOne(), 100));
      same(await t.claimIds(), [], "what can run in the meantime");
      await t.advance(100);
      const again = await t.claimOne();
      same(again.id, "first", "what can run at its time");
      await t.settle(released(again));
      same((await t.claimOne()).id, "first", "what can run once it was given back");
      await t.advance(LEASE_MS);
      same(await t.claimIds(), ["first"], "what can run once its lease was lost");
    },
  },
  {
    title: "closes the gap when one in the middle is cancelled",
    check: async (t) => {
      for (const id of ["1", "2", "3"]) await t.add({ id, group });
      const first = await t.claimOne();
      await t.cancel("2");
      same(await t.claimIds(), [], "what can run beside the first");
      await t.settle(completed(first));
      same(await t.claimIds(), ["3"], "what can run then");
    },
  },
  {
    title: "puts a redriven task at the end of its group",
    check: async (t) => {
      await t.fail({ id: "redriven", group });
      await t.add({ id: "1", group });
      await t.add({ id: "2", group });
      await t.store.redrive(t.queue, ["redriven"]);
      for (const id of ["1", "2", "redriven"]) {
        const claimed = await t.claimOne();
        same(claimed.id, id, "whose turn it is");
        same(await t.claimIds(), [], "what can run beside it");
        await t.settle(completed(claimed));
      }
    },
  },
];
