// Tasks that nobody has started in time.
import { ensure, same } from "@holdfast/core/testing";
import { EXPIRED } from "../../store/store.ts";
import type { Clause } from "../trial.ts";
import { completed, failed, LEASE_MS, released, suspended } from "../trial.ts";

export const expiryClauses: readonly Clause[] = [
  {
    title: "cancels a task that was not started in time, not a millisecond before",
    check: async (t) => {
      const id = await t.add({ expireMs: 500 });
      await t.advance(499);
      await t.expectState(id, "ready");
      await t.advance(1);
      const status = await t.status(id);
      ensure(status.state === "cancelled", `it is to be cancelled, and is ${status.state}`);
      same([status.reason, status.finishedAt - status.enqueuedAt], [EXPIRED, 500], "why and when");
      same(await t.claimIds(), [], "what can be claimed");
      const { events, ended } = await t.page(id);
      const { at: _, ...last } = events.at(-1)!;
      same([last, ended], [{ type: "cancelled", reason: EXPIRED, seq: 2 }, true], "its last event");
    },
  },
  {
    title: "cancels it by itself, also while it is delayed, waits or is not its group's turn",
    check: async (t) => {
      await t.add({ id: "first", group: "g" });
      await t.claimOne({ leaseMs: 10_000 });
      const late = { expireMs: 100 };
      await t.add({ id: "behind", group: "g", ...late });
      await t.add({ id: "last", group: "g" });
      await t.add({ id: "delayed", delayMs: 5_000, ...late });
      await t.enqueue(
        t.task({ id: "parent", waitsForChildren: true, ...late }),
        t.task({ id: "child", parent: "parent", delayMs: 50_000 }),
      );
      const waiting = t.store.waitForEvents(t.queue, "delayed", 1, new AbortController().signal);
      await t.advance(100);
      await t.ends(waiting, "waiting for the events of a task that expires");
      for (const id of ["behind", "delayed", "parent"]) await t.expectState(id, "cancelled");
      await t.advance(300);
      same(await t.claimIds(), [], "what can be claimed");
      await t.cancel("first");
      same(await t.claimIds(), ["last"], "whose turn it is then");
    },
  },
  {
    title: "is due at its time when that is before it expires, and shows the time of both",
    check: async (t) => {
      const id = await t.add({ delayMs: 100, expireMs: 200 });
      const status = await t.status(id);
      ensure(status.state === "scheduled", `it is to be scheduled, and is ${status.state}`);
      same(status.dueAt - status.enqueuedAt, 100, "when it is due");
      const later = await t.status(await t.add({ delayMs: 300, expireMs: 200 }));
      ensure(later.state === "scheduled", `it is to be scheduled, and is ${later.state}`);
      same(later.dueAt - later.enqueuedAt, 300, "when one is due that expires before");
      await t.advance(100);
      await t.expectState(id, "ready");
      await t.advance(100);
      await t.expectState(id, "cancelled");
    },
  },
  {
    title: "lets a task expire too that could not be claimed because its group had no token left",
    check: async (t) => {
      const limit = { concurrency: 5, rate: { tasks: 1, perMs: 10_000 } };
      const late = { group: "g", groupLimit: limit, expireMs: 100 };
      await t.enqueue(t.task({ id: "first", ...late }), t.task({ id: "second", ...late }));
      same(await t.claimIds(5), ["first"], "what the one token starts");
      await t.advance(100);
      await t.expectState("first", "running");
      await t.expectState("second", "cancelled");
    },
  },
  {
    title: "does not let a task expire that was ever started",
    check: async (t) => {
      const ends = [released, (held: Lease) => failed(held, 0), suspended, failed] as const;
      const ids: string[] = [];
      for (const end of ends) {
        ids.push(await t.add({ expireMs: 100, priority: 1 }));
        await t.settle(end(await t.claimOne()));
        if (end === failed) await t.store.redrive(t.queue, ids.slice(-1));
        else await t.claimOne({ leaseMs: 50 });
      }
      await t.advance(100);
      for (const id of ids) await t.expectState(id, "ready");
      await t.advance(LEASE_MS);
      same((await t.claimIds()).length, ends.length, "how many can be claimed");
    },
  },
  {
    title: "frees what an expired task had: its dedup key, its room and its group's turn",
    check: async (t) => {
      await t.add({ expireMs: 100, dedupKey: "k", group: "g" });
      const next = await t.add({ group: "g" });
      await t.advance(100);
      same(await t.claimIds(), [next], "what can be claimed");
      const again = await t.store.enqueue(t.queue, [t.task({ dedupKey: "k" })], { limit: 2 });
      ensure(!again.full, "there is room for one more");
      same(again.outcomes[0]!.outcome, "enqueued", "another with its dedup key");
    },
  },
  {
    title: "takes the live children of an expired task along, and lets its parent go on",
    check: async (t) => {
      await t.enqueue(
        t.task({ id: "grandparent", waitsForChildren: true }),
        t.task({ id: "parent", parent: "grandparent", expireMs: 100 }),
        t.task({ id: "child", parent: "parent" }),
      );
      await t.advance(100);
      const child = await t.status("child");
      ensure(child.state === "cancelled", `the child is to be cancelled, and is ${child.state}`);
      same(child.reason, EXPIRED, "why");
      await t.settle(completed(await t.claimOne()));
      await t.expectState("grandparent", "completed");
    },
  },
];

type Lease = Parameters<typeof failed>[0];
