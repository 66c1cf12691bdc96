// Waits: who is woken, that no wake-up is lost, and that an abort leaves nothing behind.
import { leakCheck } from "@holdfast/core/testing";
import { ensure, same } from "@holdfast/core/testing";
import type { Clause, Trial } from "../trial.ts";
import { completed, failed, LEASE_MS, released } from "../trial.ts";

const MAX_LOSSES = 5;

function waitForWork(t: Trial): Promise<void> {
  return t.store.waitForWork(t.queue, new AbortController().signal);
}

function waitForEvents(t: Trial, id: string, after: number): Promise<void> {
  return t.store.waitForEvents(t.queue, id, after, new AbortController().signal);
}

/** Begins to wait, sees that there is nothing, makes it happen and sees that the wait ends. */
async function wakes(t: Trial, what: string, make: () => Promise<unknown>): Promise<void> {
  same(await t.claimIds(), [], `what can be claimed before ${what}`);
  const waiting = waitForWork(t);
  await t.goesOn(waiting, `waiting for work before ${what}`);
  await make();
  await t.ends(waiting, `waiting for work after ${what}`);
}

export const waitClauses: readonly Clause[] = [
  {
    title: "does not wait for work when there is some",
    check: async (t) => {
      await t.add();
      await t.ends(waitForWork(t), "waiting for work that is there");
    },
  },
  {
    title: "waits for work while all there is is delayed, runs, has ended or waits for its turn in its group",
    check: async (t) => {
      await t.complete();
      await t.add({ group: "g" });
      await t.add({ group: "g" });
      await t.add({ delayMs: 60_000 });
      await t.claimOne();
      const stop = new AbortController();
      const waiting = t.store.waitForWork(t.queue, stop.signal);
      await t.goesOn(waiting, "waiting for work");
      stop.abort();
      await thrown(t, waiting);
    },
  },
  {
    title: "wakes who waits for work whenever there is some again",
    check: async (t) => {
      const task = { maxAttempts: 100, maxLeaseLosses: MAX_LOSSES };
      await wakes(t, "a new task", () => t.add(task));
      const first = await t.claimOne();
      await wakes(t, "a task given back", () => t.settle(released(first)));
      const second = await t.claimOne();
      await wakes(t, "a failed try", () => t.settle(failed(second, 0)));
      const third = await t.claimOne();
      await wakes(t, "the wait before another try", async () => {
        await t.settle(failed(third, 100));
        await t.advance(100);
      });
      await t.claimOne();
      await wakes(t, "a lost lease", () => t.advance(LEASE_MS));
      const last = await t.claimOne();
      await t.settle(failed(last));
      await wakes(t, "a redrive", () => t.store.redrive(t.queue, [last.id]));
      await t.claimOne();
      await wakes(t, "the end of a delay", async () => {
        await t.add({ delayMs: 100 });
        await t.advance(100);
      });
    },
  },
  {
    title: "wakes who waits for work when it is a group's next turn",
    check: async (t) => {
      await t.add({ group: "g" });
      await t.add({ group: "g" });
      await t.add({ group: "g" });
      const first = await t.claimOne();
      await wakes(t, "the end of the first", () => t.settle(completed(first)));
      const second = await t.claimOne();
      await wakes(t, "the cancel of the second", () => t.cancel(second.id));
    },
  },
  {
    title: "loses no wake-up between a claim that found nothing and the wait",
    check: async (t) => {
      same(await t.claimIds(), [], "what can be claimed");
      await t.add();
      await t.ends(waitForWork(t), "waiting for work that came before the wait");
    },
  },
  {
    title: "leaves nobody waiting while there is work, however many wait",
    check: async (t) => {
      const waiting = [waitForWork(t), waitForWork(t), waitForWork(t)];
      await t.enqueue(t.task(), t.task(), t.task());
      for (const wait of waiting) await t.ends(wait, "one of three waiting for work");
      same((await t.claimIds()).length, 3, "tasks to claim");
    },
  },
  {
    title: "wakes who waits for events at each one, and not before",
    check: async (t) => {
      const id = await t.add();
      await t.ends(waitForEvents(t, id, 0), "waiting for an event that is there");
      const started = waitForEvents(t, id, 1);
      await t.goesOn(started, "waiting for a second event");
      const held = await t.claimOne();
      await t.ends(started, "waiting for the start");
      const progress = [waitForEvents(t, id, 2), waitForEvents(t, id, 2)];
      await t.report(held, { kind: "progress", value: 1 });
      for (const wait of progress) await t.ends(wait, "waiting for progress");
      const end = waitForEvents(t, id, 3);
      await t.settle(completed(held));
      await t.ends(end, "waiting for the end");
    },
  },
  {
    title: "wakes who waits already when something becomes due before all that was known when the wait began",
    check: async (t) => {
      await t.add({ delayMs: 60_000 });
      const id = await t.add({ maxLeaseLosses: 0 });
      const held = await t.claimOne();
      const lost = waitForEvents(t, id, 2);
      await t.goesOn(lost, "waiting for the end of a lease");
      await t.renew(held, 20);
      await t.ends(lost, "waiting for the end of a lease that was made shorter meanwhile");
      await t.expectState(id, "failed");
      const work = waitForWork(t);
      await t.goesOn(work, "waiting for work");
      const soon = await t.add({ delayMs: 20 });
      await t.ends(work, "waiting for work that was added with a short delay meanwhile");
      same(await t.claimIds(), [soon], "what can be claimed");
    },
  },
  {
    title: "wakes who waits for the events of a task when it is cancelled, forgotten or was never there",
    check: async (t) => {
      await t.ends(waitForEvents(t, "unknown", 0), "waiting for the events of an unknown task");
      const id = await t.add();
      const cancelled = waitForEvents(t, id, 1);
      await t.cancel(id);
      await t.ends(cancelled, "waiting for the events of a task that was cancelled");
      const forgotten = waitForEvents(t, id, 2);
      await t.store.discard(t.queue, [id]);
      await t.ends(forgotten, "waiting for the events of a task that was forgotten");
    },
  },
  {
    title: "wakes nobody for the events of another task",
    check: async (t) => {
      const stop = new AbortController();
      const id = await t.add();
      const waiting = t.store.waitForEvents(t.queue, id, 1, stop.signal);
      await t.add();
      await t.goesOn(waiting, "waiting for the events of one task while another was added");
      stop.abort();
      await thrown(t, waiting);
    },
  },
  {
    title:
      "rejects waits with the reason of the signal itself, also of one aborted before, and leaves no listener",
    check: async (t) => {
      const id = await t.add();
      await t.claimOne({ worker: "me" });
      const waits: Readonly<Record<string, (signal: AbortSignal) => Promise<unknown>>> = {
        waitForWork: (signal) => t.store.waitForWork(t.queue, signal),
        waitForEvents: (signal) => t.store.waitForEvents(t.queue, id, 2, signal),
        waitForRevoked: (signal) => t.store.waitForRevoked(t.queue, "me", signal),
      };
      for (const [name, wait] of Object.entries(waits)) {
        const reason = new Error("enough");
        const stop = new AbortController();
        const leaks = leakCheck({ signals: [stop.signal] });
        const waiting = wait(stop.signal);
        await t.goesOn(waiting, name);
        stop.abort(reason);
        same(
          (await thrown(t, waiting)) === reason,
          true,
          `whether ${name}() rejects with the signal's reason`,
        );
        same(leaks.leaks().listeners, [0], `abort listeners that ${name}() leaves behind`);
        const late = await thrown(t, wait(stop.signal));
        same(late === reason, true, `whether ${name}() rejects when the signal was aborted before`);
      }
    },
  },
  {
    title: "leaves no listener behind on the signal of a wait that has ended",
    check: async (t) => {
      const { signal } = new AbortController();
      const leaks = leakCheck({ signals: [signal] });
      const work = t.store.waitForWork(t.queue, signal);
      const id = await t.add();
      await t.ends(work, "waiting for work");
      const events = t.store.waitForEvents(t.queue, id, 1, signal);
      await t.claimOne({ worker: "me" });
      await t.ends(events, "waiting for events");
      const revoked = t.store.waitForRevoked(t.queue, "me", signal);
      await t.cancel(id);
      await t.ends(revoked, "waiting for revoked leases");
      same(leaks.leaks().listeners, [0], "abort listeners left behind");
    },
  },
  {
    title: "still wakes the others when one of those who wait has given up",
    check: async (t) => {
      const stop = new AbortController();
      const left = t.store.waitForWork(t.queue, stop.signal);
      const staying = waitForWork(t);
      stop.abort();
      await thrown(t, left);
      await t.add();
      await t.ends(staying, "waiting for work");
    },
  },
];

/** What a wait rejects with. */
async function thrown(t: Trial, wait: Promise<unknown>): Promise<unknown> {
  const outcome = wait.then(
    () => ({ isRejected: false, reason: undefined }),
    (reason: unknown) => ({ isRejected: true, reason }),
  );
  const { isRejected, reason } = await t.ends(outcome, "a wait whose signal was aborted");
  ensure(isRejected, "a wait whose signal was aborted is to reject");
  return reason;
}
