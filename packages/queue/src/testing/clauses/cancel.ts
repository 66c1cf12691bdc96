// Cancels: of tasks that wait, run or have ended, and how workers hear of them.
import { ensure, same } from "@holdfast/core/testing";
import type { Clause } from "../trial.ts";
import { completed, failed, LEASE_MS, LOST, released } from "../trial.ts";

const CANCELLED = { written: false, cause: "cancelled", reason: "not wanted" } as const;

export const cancelClauses: readonly Clause[] = [
  {
    title: "ends a task that waits or runs, at once and for good",
    check: async (t) => {
      const running = await t.add();
      await t.claimOne();
      const scheduled = await t.add({ delayMs: 50 });
      const ready = await t.add();
      const outcomes = await t.cancel(running, "unknown", scheduled, ready);
      same(outcomes, ["cancelled", "unknown", "cancelled", "cancelled"], "outcomes");
      for (const id of [running, scheduled, ready]) {
        const status = await t.status(id);
        ensure(status.state === "cancelled", `it is to be cancelled, and is ${status.state}`);
        same([status.reason, status.finishedAt], ["not wanted", status.enqueuedAt], "why and when");
      }
      await t.advance(LEASE_MS);
      same(await t.claimIds(), [], "what can be claimed, then or later");
      same(await t.happened(running), ["enqueued", "started", "cancelled"], "what has happened");
    },
  },
  {
    title: "changes nothing about a task that has ended",
    check: async (t) => {
      const ids = [await t.complete(), await t.fail(), await t.add()];
      await t.cancel(ids[2]!);
      const before = await t.store.get(t.queue, ids);
      same(await t.store.cancel(t.queue, ids, "again"), ["ended", "ended", "ended"], "outcomes");
      same(await t.store.get(t.queue, ids), before, "the tasks");
    },
  },
  {
    title: "refuses every write of the worker that ran it and says why, until the task is forgotten",
    check: async (t) => {
      const id = await t.add();
      const held = await t.claimOne();
      await t.cancel(id);
      const refusesAll = async (): Promise<void> => {
        same(await t.renew(held), CANCELLED, "a renewal");
        same(await t.report(held, { kind: "progress", value: 1 }), CANCELLED, "a report");
        const outcomes = await t.settle(completed(held), failed(held, 0), released(held));
        same(outcomes, [CANCELLED, CANCELLED, CANCELLED], "settlements");
        await t.expectState(id, "cancelled");
        same(await t.store.result(t.queue, id), undefined, "its result");
      };
      await refusesAll();
      await t.advance(LEASE_MS * 2);
      await refusesAll();
      await t.store.discard(t.queue, [id]);
      same(await t.renew(held), LOST, "a renewal once it is forgotten");
    },
  },
  {
    title: "tells the worker that ran it, whether it waits for that already or asks later",
    check: async (t) => {
      const { signal } = new AbortController();
      const ids = [await t.add(), await t.add(), await t.add()];
      const [a, b] = await t.claim(2, { worker: "one" });
      const [c] = await t.claim(1, { worker: "two" });
      const waiting = t.store.waitForRevoked(t.queue, "one", signal);
      await t.cancel(c!.id);
      await t.goesOn(waiting, "waiting for one's own tasks when another's was cancelled");
      await t.cancel(a!.id);
      const lease = ({ id, fence }: { readonly id: string; readonly fence: number }) => ({
        id,
        fence,
        reason: "not wanted",
      });
      same(await t.ends(waiting, "waiting for revoked leases"), [lease(a!)], "what a waiting worker is told");
      await t.cancel(b!.id);
      const later = await t.ends(t.store.waitForRevoked(t.queue, "one", signal), "asking later");
      same(later, [lease(b!)], "what a worker is told that asks later");
      same(
        await t.ends(t.store.waitForRevoked(t.queue, "two", signal), "asking later"),
        [lease(c!)],
        "what the other worker is told",
      );
      same(ids.length, 3, "tasks");
    },
  },
  {
    title: "tells nobody about a task that did not run",
    check: async (t) => {
      const stop = new AbortController();
      const ready = await t.add();
      await t.settle(released(await t.claimOne({ worker: "one" })));
      const waiting = t.store.waitForRevoked(t.queue, "one", stop.signal);
      await t.cancel(ready);
      await t.goesOn(waiting, "waiting for revoked leases");
      stop.abort();
      await t.ends(
        waiting.catch(() => {}),
        "a wait whose signal was aborted",
      );
    },
  },
];
