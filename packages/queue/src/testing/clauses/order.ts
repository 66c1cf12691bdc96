// Which tasks are claimed, when, and in which order.
import { ensure, same } from "@holdfast/core/testing";
import type { Clause } from "../trial.ts";
import { failed, LEASE_MS, released } from "../trial.ts";

export const orderClauses: readonly Clause[] = [
  {
    title: "claims the highest priority first, then the oldest",
    check: async (t) => {
      for (const [id, priority] of Object.entries({ a: 0, b: 5, c: -5, d: 5, e: 0 }))
        await t.add({ id, priority });
      same(await t.claimIds(2), ["b", "d"], "the first two");
      same(await t.claimIds(), ["a", "e", "c"], "the rest");
      same(await t.claimIds(), [], "what is left");
    },
  },
  {
    title: "claims at most as many as are asked for",
    check: async (t) => {
      for (let n = 0; n < 5; n += 1) await t.add();
      same((await t.claim(3)).length, 3, "tasks claimed");
      same((await t.claim(3)).length, 2, "tasks claimed then");
    },
  },
  {
    title: "leases no task twice to those who ask at the same time",
    check: async (t) => {
      await t.enqueue(...Array.from({ length: 20 }, () => t.task()));
      const workers = ["a", "b", "c", "d", "e", "f"];
      const claims = await Promise.all(workers.map((worker) => t.claim(5, { worker })));
      const ids = claims.flat().map(({ id }) => id);
      same(ids.length, 20, "tasks claimed by all");
      same(new Set(ids).size, 20, "different ones among them");
    },
  },
  {
    title: "says what a worker needs to know about a task",
    check: async (t) => {
      const id = await t.add({ name: "draw", maxAttempts: 4 });
      const { fence, ...rest } = await t.claimOne();
      same(
        rest,
        {
          id,
          name: "draw",
          input: { text: `"${id}"`, blobs: [] },
          attempt: 1,
          maxAttempts: 4,
          backoffState: 0,
          checkpoints: 0,
        },
        "a claimed task",
      );
      ensure(Number.isSafeInteger(fence) && fence > 0, `a fence is a whole number above 0, not ${fence}`);
    },
  },
  {
    title: "holds a delayed task back until its time, not a millisecond longer",
    check: async (t) => {
      const id = await t.add({ delayMs: 1_000 });
      const status = await t.status(id);
      ensure(status.state === "scheduled", `a delayed task is scheduled, not ${status.state}`);
      same(status.dueAt, status.enqueuedAt + 1_000, "when it is due");
      await t.advance(999);
      same(await t.claimIds(), [], "what is claimed a millisecond before its time");
      await t.advance(1);
      await t.expectState(id, "ready");
      same(await t.claimIds(), [id], "what is claimed at its time");
    },
  },
  {
    title: "gives a task its place by when it was added, whatever has happened to it since",
    check: async (t) => {
      const delayed = await t.add({ id: "delayed", delayMs: 10 });
      const [back, again, lost, fresh] = [await t.add(), await t.add(), await t.add(), await t.add()];
      const [first, second, third] = await t.claim(3);
      await t.settle(released(first!), failed(second!, 0));
      ensure(third?.id === lost, "the third is to be claimed third");
      await t.advance(LEASE_MS);
      same(await t.claimIds(), [delayed, back, again, lost, fresh], "the order of claims");
    },
  },
  {
    title: "lets a task that comes back go before those of lower priority, not before those of higher",
    check: async (t) => {
      await t.add({ id: "middle" });
      await t.settle(released(await t.claimOne()));
      await t.add({ id: "low", priority: -1 });
      await t.add({ id: "high", priority: 1 });
      same(await t.claimIds(), ["high", "middle", "low"], "the order of claims");
    },
  },
];
