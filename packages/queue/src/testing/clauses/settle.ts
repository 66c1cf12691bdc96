// How leases are ended: completed, failed, tried again, given back; and more claimed in the same step.
import { ensure, same } from "@holdfast/core/testing";
import type { Clause } from "../trial.ts";
import { BROKEN, completed, failed, LEASE_MS, LOST, released, WRITTEN } from "../trial.ts";

export const settleClauses: readonly Clause[] = [
  {
    title: "completes a task with its result",
    check: async (t) => {
      const id = await t.add();
      const held = await t.claimOne();
      same(await t.store.result(t.queue, id), undefined, "the result of a task that runs");
      await t.advance(30);
      same(await t.end(completed(held, { answer: 42 })), WRITTEN, "the outcome");
      const status = await t.status(id);
      ensure(status.state === "completed", `it is to be completed, and is ${status.state}`);
      same(status.finishedAt - status.enqueuedAt, 30, "milliseconds from the enqueue to the end");
      same((await t.store.result(t.queue, id))?.text, '{"answer":42}', "its result");
      same(await t.claimIds(), [], "what can be claimed");
      same(await t.store.result(t.queue, "unknown"), undefined, "the result of an unknown task");
    },
  },
  {
    title: "fails a task at once when there is to be no other try",
    check: async (t) => {
      const id = await t.add({ maxAttempts: 5 });
      await t.end(failed(await t.claimOne()));
      const status = await t.status(id);
      ensure(status.state === "failed", `it is to have failed, and is ${status.state}`);
      same([status.error, status.lastError, status.attempt], [BROKEN, BROKEN, 1], "why, and in which try");
      same(await t.store.result(t.queue, id), undefined, "its result");
      same(await t.happened(id), ["enqueued", "started", "failed"], "what has happened");
    },
  },
  {
    title: "tries a task again after the wait that was asked for, as often as it may be tried",
    check: async (t) => {
      const id = await t.add({ maxAttempts: 3 });
      await t.settle(failed(await t.claimOne(), 200, 11));
      const waiting = await t.status(id);
      ensure(waiting.state === "scheduled", `it is to wait, and is ${waiting.state}`);
      same([waiting.dueAt - waiting.enqueuedAt, waiting.lastError], [200, BROKEN], "how long, and why");
      await t.advance(199);
      same(await t.claimIds(), [], "what can be claimed a millisecond before its time");
      await t.advance(1);
      const second = await t.claimOne();
      same([second.attempt, second.backoffState], [2, 11], "the second try");
      await t.settle(failed(second, 0, 12));
      const third = await t.claimOne();
      same([third.attempt, third.backoffState], [3, 12], "the third try, without a wait");
      await t.settle(failed(third, 0));
      await t.expectState(id, "failed");
      same((await t.status(id)).attempt, 3, "tries in all");
      same(
        await t.happened(id),
        ["enqueued", "started", "retrying", "started", "retrying", "started", "failed"],
        "what has happened",
      );
    },
  },
  {
    title: "uses up no try when a task is given back, however often",
    check: async (t) => {
      const id = await t.add({ maxAttempts: 1 });
      for (let times = 0; times < 3; times += 1) {
        const held = await t.claimOne();
        same(held.attempt, 1, "the number of the try");
        same(await t.end(released(held)), WRITTEN, "the outcome");
        await t.expectState(id, "ready");
      }
      same((await t.status(id)).leaseLosses, 0, "lease losses");
    },
  },
  {
    title: "does not count tries towards lease losses, nor lease losses towards tries",
    check: async (t) => {
      const id = await t.add({ maxAttempts: 2, maxLeaseLosses: 1 });
      await t.claimOne();
      await t.advance(LEASE_MS);
      await t.settle(failed(await t.claimOne(), 0));
      const last = await t.claimOne();
      same([last.id, last.attempt], [id, 2], "the last try");
      await t.settle(completed(last));
      await t.expectState(id, "completed");
    },
  },
  {
    title: "answers for each settlement in order, those it refuses too",
    check: async (t) => {
      for (let n = 0; n < 3; n += 1) await t.add();
      const [a, b, c] = await t.claim(3);
      await t.cancel(b!.id);
      same(
        await t.settle(completed(a!), completed(b!), failed(c!), completed({ id: "unknown", fence: 1 })),
        [WRITTEN, { written: false, cause: "cancelled", reason: "not wanted" }, WRITTEN, LOST],
        "outcomes",
      );
      await t.expectState(c!.id, "failed");
    },
  },
  {
    title: "claims more in the same step, what has become free by it too",
    check: async (t) => {
      await t.add({ id: "1", group: "g" });
      await t.add({ id: "2", group: "g", priority: 9 });
      await t.add({ id: "free" });
      const first = await t.claimOne();
      const request = { worker: "me", max: 10, leaseMs: LEASE_MS };
      const { outcomes, claimed } = await t.store.settle(t.queue, [completed(first)], request);
      same(outcomes, [WRITTEN], "the outcomes");
      same(
        claimed.map(({ id }) => id),
        ["2", "free"],
        "what is claimed",
      );
      const again = await t.store.settle(t.queue, [released(claimed[0]!)], { ...request, max: 1 });
      same(
        again.claimed.map(({ id }) => id),
        ["2"],
        "what is claimed by who gives it back",
      );
      ensure(again.claimed[0]!.fence > claimed[0]!.fence, "it is a new lease, with a higher fence");
    },
  },
  {
    title: "claims more even when what it was to end is refused",
    check: async (t) => {
      await t.add();
      const request = { worker: "me", max: 1, leaseMs: LEASE_MS };
      const stale = completed({ id: "unknown", fence: 1 });
      const { outcomes, claimed } = await t.store.settle(t.queue, [stale], request);
      same([outcomes, claimed.length], [[LOST], 1], "outcomes, and how many are claimed");
    },
  },
  {
    title: "claims nothing unless asked to",
    check: async (t) => {
      await t.add();
      await t.add();
      const { claimed } = await t.store.settle(t.queue, [completed(await t.claimOne())]);
      same(claimed, [], "what is claimed");
    },
  },
];
