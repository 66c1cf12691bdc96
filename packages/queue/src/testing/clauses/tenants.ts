// Whose turn it is when several tenants share a queue. Of equal turns either may be first.
import { same } from "@holdfast/core/testing";
import { MAX_TENANTS } from "../../store/store.ts";
import type { Clause, Trial } from "../trial.ts";
import { completed, failed, released } from "../trial.ts";

/** Adds so many tasks of a tenant, named after it and numbered from 1. */
async function fill(
  t: Trial,
  tenant: string,
  count: number,
  weight?: number,
  from: number = 1,
): Promise<void> {
  const given = weight === undefined ? { tenant } : { tenant, weight };
  await t.enqueue(
    ...Array.from({ length: count }, (_, index) => t.task({ ...given, id: `${tenant}${from + index}` })),
  );
}

/** Claims so many; their IDs, sorted, because of equal turns either may be first. */
async function next(t: Trial, count: number): Promise<readonly string[]> {
  return [...(await t.claimIds(count))].sort();
}

export const tenantClauses: readonly Clause[] = [
  {
    title: "lets tenants take turns, each in the order its tasks were added",
    check: async (t) => {
      await fill(t, "a", 4);
      await fill(t, "b", 2);
      await fill(t, "c", 1);
      same((await t.status("b1")).tenant, "b", "the tenant in a status");
      same(await next(t, 3), ["a1", "b1", "c1"], "the first of each");
      same(await next(t, 2), ["a2", "b2"], "the second of each that has one");
      same(await t.claimIds(), ["a3", "a4"], "the rest");
    },
  },
  {
    title: "gives a tenant as many turns as it weighs",
    check: async (t) => {
      await fill(t, "a", 9, 3);
      await fill(t, "b", 9);
      await fill(t, "c", 9, 2);
      // Turns: a 0, 20, 40 …, b 0, 60, 120 …, c 0, 30, 60 …
      same(await next(t, 6), ["a1", "a2", "a3", "b1", "c1", "c2"], "a first round");
      same(await next(t, 6), ["a4", "a5", "a6", "b2", "c3", "c4"], "a second round");
    },
  },
  {
    title: "takes the weight that each task has, up to the largest",
    check: async (t) => {
      await fill(t, "a", 2, 60);
      await fill(t, "a", 2, 1, 3);
      await fill(t, "b", 3, 30);
      // Turns: a 0, 1, 2, 62, b 0, 2, 4.
      same(await next(t, 2), ["a1", "b1"], "those of turn 0");
      same(await t.claimIds(1), ["a2"], "that of turn 1");
      same(await next(t, 2), ["a3", "b2"], "those of turn 2");
      same(await t.claimIds(), ["b3", "a4"], "the rest");
    },
  },
  {
    title:
      "lets a newcomer begin where the others are: it neither waits behind them nor makes up for its absence",
    check: async (t) => {
      await fill(t, "a", 8);
      await t.claim(4);
      await fill(t, "b", 4);
      // Turns: a 240, 300 …, b 180, 240 …
      same(await t.claimIds(1), ["b1"], "what is next");
      same(await next(t, 2), ["a5", "b2"], "what is next then");
      same(await next(t, 2), ["a6", "b3"], "and then");
    },
  },
  {
    title: "remembers the turn of a tenant that has nothing to do for the moment",
    check: async (t) => {
      await fill(t, "a", 1);
      await fill(t, "b", 5, 60);
      await t.settle(
        ...(await t.claim(2)).filter(({ id }) => id === "a1").map((claimed) => completed(claimed)),
      );
      await fill(t, "a", 1, 1, 2);
      // Turns: a2 60, b 1, 2, 3, 4.
      same(await t.claimIds(), ["b2", "b3", "b4", "b5", "a2"], "the order of claims");
    },
  },
  {
    title: "takes all tasks without a tenant for those of one",
    check: async (t) => {
      for (const id of ["x1", "x2", "x3"]) await t.add({ id });
      await fill(t, "b", 2);
      same(await next(t, 2), ["b1", "x1"], "the first two");
      same(await next(t, 2), ["b2", "x2"], "the next two");
    },
  },
  {
    title: "claims by priority first, and counts turns at each priority alone",
    check: async (t) => {
      await t.enqueue(
        ...["a1", "a2", "a3"].map((id) => t.task({ id, tenant: "a" })),
        ...["h1", "h2"].map((id) => t.task({ id, tenant: "a", priority: 1 })),
        t.task({ id: "i1", tenant: "b", priority: 1 }),
        t.task({ id: "b1", tenant: "b" }),
      );
      same(await next(t, 2), ["h1", "i1"], "the first of the higher priority");
      same(await t.claimIds(1), ["h2"], "the second of it");
      same(await next(t, 2), ["a1", "b1"], "the first of the lower priority");
    },
  },
  {
    title: "keeps the turn of a task that comes back, and gives a redriven one a new turn",
    check: async (t) => {
      await fill(t, "a", 3);
      await fill(t, "b", 3);
      const [one, other] = await t.claim(2);
      await t.settle(released(one!), failed(other!, 0));
      const [first, second] = await t.claim(2);
      same([first!.id, second!.id].sort(), ["a1", "b1"], "what is claimed when both are back");
      await t.settle(failed(first!), failed(second!));
      await t.store.redrive(t.queue, ["a1", "b1"]);
      same(await next(t, 2), ["a2", "b2"], "what is next when both were redriven");
      same(await next(t, 2), ["a3", "b3"], "what is next then");
      same(await next(t, 2), ["a1", "b1"], "what is last");
    },
  },
  {
    title: "forgets turns when no task is live",
    check: async (t) => {
      await fill(t, "a", 20);
      await t.cancel(...Array.from({ length: 20 }, (_, index) => `a${index + 1}`));
      await fill(t, "b", 4);
      await fill(t, "a", 4, 1, 21);
      same(await next(t, 4), ["a21", "a22", "b1", "b2"], "what is next of two new ones");
    },
  },
  {
    title: "remembers the next turns of so many tenants, beyond which nobody begins before the first of them",
    check: async (t) => {
      await fill(t, "a", 3, 60);
      const others = Array.from({ length: MAX_TENANTS - 1 }, (_, index) =>
        t.task({ id: `o${index}`, tenant: `o${index}`, delayMs: 60_000 }),
      );
      for (let at = 0; at < others.length; at += 1_000) await t.enqueue(...others.slice(at, at + 1_000));
      await t.enqueue(t.task({ id: "b1", tenant: "b" }), t.task({ id: "c1", tenant: "c" }));
      // Turns: a 0, 1, 2, the others and b 0, and c what would be next of a, which is 3.
      same(await next(t, 4), ["a1", "a2", "a3", "b1"], "what is next");
      same(await t.claimIds(1), ["c1"], "what is next then");
    },
  },
];
