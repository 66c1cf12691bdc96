// Leases: how long they last, what their fences are, and what happens when one is lost.
import { ensure, same } from "@holdfast/core/testing";
import type { Clause } from "../trial.ts";
import { completed, failed, LEASE_MS, LOST, released, WRITTEN } from "../trial.ts";

export const leaseClauses: readonly Clause[] = [
  {
    title: "shows who runs a task, since when, and when the lease ends",
    check: async (t) => {
      const id = await t.add();
      await t.advance(70);
      await t.claimOne({ worker: "me", leaseMs: 500 });
      const status = await t.status(id);
      ensure(status.state === "running", `a claimed task runs; it is ${status.state}`);
      const { startedAt, worker, leaseEndsAt, attempt } = status;
      same({ worker, attempt }, { worker: "me", attempt: 1 }, "its worker and its try");
      same(startedAt - status.enqueuedAt, 70, "milliseconds from the enqueue to the start");
      same(leaseEndsAt - startedAt, 500, "milliseconds of its lease");
    },
  },
  {
    title: "keeps a lease until a millisecond before its end",
    check: async (t) => {
      const claims = [await t.add(), await t.add(), await t.add(), await t.add(), await t.add()];
      const [a, b, c, d, e] = await t.claim(claims.length, { leaseMs: 500 });
      await t.advance(499);
      same(await t.claimIds(), [], "what others can claim");
      same(await t.report(a!, { kind: "log", line: "still here" }), WRITTEN, "a report");
      const outcomes = await t.settle(completed(b!), failed(c!), released(d!));
      same(outcomes, [WRITTEN, WRITTEN, WRITTEN], "settlements");
      same(await t.renew(e!, 500), WRITTEN, "a renewal");
    },
  },
  {
    title: "ends a lease at its very end: writes are refused and others may claim",
    check: async (t) => {
      for (let n = 0; n < 5; n += 1) await t.add();
      const [a, b, c, d, e] = await t.claim(5, { leaseMs: 500 });
      await t.advance(500);
      same(await t.report(a!, { kind: "log", line: "still here" }), LOST, "a report");
      same(await t.settle(completed(b!), failed(c!), released(d!)), [LOST, LOST, LOST], "settlements");
      same(await t.renew(e!), LOST, "a renewal");
      same((await t.claimIds()).length, 5, "what others can claim");
    },
  },
  {
    title: "makes a lease last from its renewal on, longer or shorter than before",
    check: async (t) => {
      const id = await t.add();
      const held = await t.claimOne({ leaseMs: 500 });
      await t.advance(400);
      same(await t.renew(held, 500), WRITTEN, "the renewal");
      await t.advance(499);
      same(await t.claimIds(), [], "what others can claim before its new end");
      same(await t.renew(held, 10), WRITTEN, "a renewal for less");
      await t.advance(10);
      same(await t.claimIds(), [id], "what others can claim at its end");
    },
  },
  {
    title: "answers for each lease that is to be renewed, in order",
    check: async (t) => {
      await t.add();
      await t.add();
      const [a, b] = await t.claim(2);
      await t.settle(completed(a!));
      const leases = [b!, a!, { id: "unknown", fence: 1 }].map(({ id, fence }) => ({ id, fence }));
      same(await t.store.renew(t.queue, leases, LEASE_MS), [WRITTEN, LOST, LOST], "outcomes");
    },
  },
  {
    title: "gives each lease on a task a higher fence, however the last one ended",
    check: async (t) => {
      const id = await t.add({ maxAttempts: 10 });
      const fences: number[] = [];
      const next = async (): Promise<{ readonly id: string; readonly fence: number }> => {
        const claimed = await t.claimOne();
        same(claimed.id, id, "the task that is claimed");
        fences.push(claimed.fence);
        return claimed;
      };
      await t.settle(released(await next()));
      await t.settle(failed(await next(), 0));
      await next();
      await t.advance(LEASE_MS);
      await t.settle(failed(await next()));
      await t.store.redrive(t.queue, [id]);
      await t.settle(completed(await next()));
      // An ID that is used again must not meet a zombie of its first life.
      await t.store.discard(t.queue, [id]);
      await t.add({ id });
      await next();
      const rising = fences.every((fence, index) => index === 0 || fence > fences[index - 1]!);
      ensure(rising, `fences are to rise strictly, not ${fences.join(", ")}`);
    },
  },
  {
    title: "makes a try whose lease was lost again under its number, and counts the loss",
    check: async (t) => {
      const id = await t.add();
      await t.settle(failed(await t.claimOne(), 0, 77));
      await t.claimOne();
      await t.advance(LEASE_MS);
      const { state, leaseLosses, attempt } = await t.status(id);
      same({ state, leaseLosses, attempt }, { state: "ready", leaseLosses: 1, attempt: 2 }, "its status");
      const again = await t.claimOne();
      same(
        [again.attempt, again.backoffState],
        [2, 77],
        "the number of the try and what the worker before wants to know",
      );
      same(
        await t.happened(id),
        ["enqueued", "started", "retrying", "started", "lease_lost", "started"],
        "what has happened",
      );
    },
  },
  {
    title: "fails a task whose lease was lost once more than it may be",
    check: async (t) => {
      const id = await t.add({ maxLeaseLosses: 2, maxAttempts: 1 });
      for (let losses = 1; losses <= 2; losses += 1) {
        await t.claimOne();
        await t.advance(LEASE_MS);
        await t.expectState(id, "ready");
      }
      await t.claimOne();
      await t.advance(LEASE_MS);
      const status = await t.status(id);
      ensure(status.state === "failed", `it is to have failed, and is ${status.state}`);
      same(status.error.code, "LEASE_LOST", "why it failed");
      same(status.leaseLosses, 3, "leases it has lost");
      same(await t.deadLetterIds(), [id], "dead letters");
      same(await t.claimIds(), [], "what can be claimed");
    },
  },
  {
    title: "loses leases by itself: nobody has to ask",
    check: async (t) => {
      const id = await t.add({ maxLeaseLosses: 0 });
      await t.claimOne();
      const { lastSeq } = await t.status(id);
      const waiting = t.store.waitForEvents(t.queue, id, lastSeq, new AbortController().signal);
      await t.advance(LEASE_MS);
      await t.ends(waiting, "waiting for the events of a task whose lease has ended");
      await t.expectState(id, "failed");
    },
  },
];
