// What an operator sees and does: what has happened in numbers, tasks by state, and a queue that is paused.
import { same } from "@holdfast/core/testing";
import type { QueueMeter } from "../../store/store.ts";
import type { TaskState } from "../../task/task-status.ts";
import type { Clause, Trial } from "../trial.ts";
import { completed, failed, LEASE_MS, released, suspended } from "../trial.ts";

const NOTHING: QueueMeter = {
  added: 0,
  started: 0,
  completed: 0,
  failed: 0,
  cancelled: 0,
  retried: 0,
  waitedMs: 0,
  ranMs: 0,
  paused: false,
};

async function meters(t: Trial, expected: Partial<QueueMeter>, when: string): Promise<void> {
  const { headAddedAt: _, ...meter } = await t.store.meter(t.queue);
  same(meter, { ...NOTHING, ...expected }, `the meter ${when}`);
}

async function lists(t: Trial, state: TaskState, ...ids: readonly string[]): Promise<void> {
  const listed = await t.store.list(t.queue, state, 100);
  same(listed.map(({ id }) => id).sort(), [...ids].sort(), `tasks that are ${state}`);
  same(
    listed.every((status) => status.state === state),
    true,
    `whether all of them are ${state}`,
  );
}

export const oversightClauses: readonly Clause[] = [
  {
    title: "counts what has happened, and goes on counting when tasks are forgotten",
    check: async (t) => {
      await meters(t, {}, "of a new queue");
      const ids = [await t.add(), await t.add(), await t.add({ maxLeaseLosses: 0 }), await t.add()];
      await t.enqueue(t.task({ id: ids[0]! }), t.task({ parent: "unknown" }));
      const [a, b, c] = await t.claim(3);
      await meters(t, { added: 4, started: 3 }, "when three have started");
      await t.settle(completed(a!), failed(b!, 0));
      await t.cancel(ids[3]!);
      await t.settle(failed(await t.claimOne()));
      await t.advance(LEASE_MS);
      const expected = { added: 4, started: 4, completed: 1, failed: 2, cancelled: 1, retried: 1 };
      await meters(t, expected, "when all have ended");
      await t.store.redrive(t.queue, [c!.id]);
      await t.settle(released(await t.claimOne()));
      await t.settle(completed(await t.claimOne()));
      await t.add({ expireMs: 10 });
      await t.advance(10);
      await t.store.discard(t.queue, ids);
      const then = { ...expected, added: 5, started: 6, completed: 2, cancelled: 2 };
      await meters(t, then, "when some were redriven, have expired or are forgotten");
    },
  },
  {
    title: "adds up how long tasks waited for their first start, and how long completed ones ran",
    check: async (t) => {
      await t.add({ id: "delayed", delayMs: 1_000 });
      await t.add({ id: "first" });
      await t.advance(300);
      const first = await t.claimOne();
      await meters(t, { added: 2, started: 1, waitedMs: 300 }, "when one has waited");
      await t.advance(40);
      await t.settle(released(first));
      await t.advance(100);
      const again = await t.claimOne();
      await t.advance(5);
      await t.settle(completed(again));
      const expected = { added: 2, started: 2, completed: 1, waitedMs: 300, ranMs: 5 };
      await meters(t, expected, "when it has completed in its second start");
      await t.advance(600);
      await t.settle(failed(await t.claimOne()));
      await meters(
        t,
        { ...expected, started: 3, failed: 1, waitedMs: 345 },
        "when the delayed one has failed 45 ms after its delay",
      );
      await t.store.redrive(t.queue, ["delayed"]);
      await t.advance(10);
      await t.claimOne();
      await meters(t, { ...expected, started: 4, failed: 1, waitedMs: 345 }, "when it was redriven");
    },
  },
  {
    title: "counts the wait of a parent from when its children had ended",
    check: async (t) => {
      await t.enqueue(
        t.task({ id: "parent", waitsForChildren: true, delayMs: 50 }),
        t.task({ id: "child", parent: "parent" }),
      );
      await t.settle(suspended(await t.claimOne(), { delayMs: 1_000 }));
      await t.advance(1_000);
      await t.settle(completed(await t.claimOne()));
      await t.advance(20);
      await t.claimOne();
      await meters(t, { added: 2, started: 3, completed: 1, waitedMs: 20 }, "when it has started");
    },
  },
  {
    title: "tells since when the task that is next has been there",
    check: async (t) => {
      const head = async (): Promise<number | undefined> => (await t.store.meter(t.queue)).headAddedAt;
      same(await head(), undefined, "of a queue without tasks");
      const begin = (await t.status(await t.add({ id: "low" }))).enqueuedAt;
      await t.advance(20);
      await t.add({ id: "high", priority: 1 });
      await t.add({ id: "delayed", priority: 2, delayMs: 1_000 });
      same(await head(), begin + 20, "when one of higher priority is next");
      await t.claimOne();
      same(await head(), begin, "when the older one is next");
      await t.store.pause(t.queue, true);
      same(await head(), begin, "when the queue is paused");
      await t.cancel("low");
      same(await head(), undefined, "when none can be claimed");
      same("headAddedAt" in (await t.store.meter(t.queue)), false, "whether it says anything then");
    },
  },
  {
    title: "lists tasks by state, as many as are asked for at most",
    check: async (t) => {
      for (const id of ["runs", "waits", "done", "dead"]) await t.add({ id });
      const [, waits, done, dead] = await t.claim(4);
      await t.settle(suspended(waits!, { events: ["go"] }), completed(done!), failed(dead!));
      await t.add({ id: "gone" });
      await t.cancel("gone");
      await t.add({ id: "delayed", delayMs: 1_000 });
      await t.add({ id: "first", group: "g" });
      await t.add({ id: "second", group: "g" });
      await t.add({
        id: "limited",
        group: "h",
        groupLimit: { concurrency: 1, rate: { tasks: 1, perMs: 9_000 } },
      });
      await lists(t, "running", "runs");
      await lists(t, "waiting", "waits");
      await lists(t, "completed", "done");
      await lists(t, "failed", "dead");
      await lists(t, "cancelled", "gone");
      await lists(t, "scheduled", "delayed");
      await lists(t, "ready", "first", "second", "limited");
      const [ready] = await t.store.list(t.queue, "ready", 1);
      same(ready, await t.status(ready!.id), "the one that is listed when one is asked for");
      same((await t.store.list(t.queue, "ready", 2)).length, 2, "how many of three when two are asked for");
      same(await t.store.list("other", "ready", 10), [], "those of another queue");
    },
  },
  {
    title: "claims nothing while a queue is paused, and lets go on what runs",
    check: async (t) => {
      await t.add();
      await t.add();
      const held = await t.claimOne();
      await t.store.pause(t.queue, true);
      await t.store.pause(t.queue, true);
      await meters(t, { added: 2, started: 1, paused: true }, "of a paused queue");
      same(await t.claimIds(), [], "what can be claimed");
      const added = await t.add();
      const request = { worker: "me", max: 10, leaseMs: LEASE_MS };
      const { outcomes, claimed } = await t.store.settle(t.queue, [completed(held)], request);
      same([outcomes, claimed], [[{ written: true }], []], "what a settlement answers");
      await t.expectState(added, "ready");
      const other = await t.store.enqueue("other", [t.task()], { limit: 10 });
      same(other.full, false, "whether another queue is full");
      same((await t.store.claim("other", request)).length, 1, "what can be claimed there");
      await t.store.pause(t.queue, false);
      same((await t.claimIds()).length, 2, "how many can be claimed when it goes on");
    },
  },
  {
    title: "wakes who waits for work when a paused queue goes on, and not before",
    check: async (t) => {
      await t.store.pause(t.queue, true);
      const { signal } = new AbortController();
      const early = t.store.waitForWork(t.queue, signal);
      await t.add();
      const late = t.store.waitForWork(t.queue, signal);
      await t.goesOn(early, "waiting for work since before it came to a paused queue");
      await t.goesOn(late, "waiting for work in a paused queue");
      await t.store.pause(t.queue, false);
      await t.ends(early, "the first wait when it goes on");
      await t.ends(late, "the second wait when it goes on");
    },
  },
  {
    title: "lets time go on while a queue is paused, and stays so without tasks",
    check: async (t) => {
      await t.add({ id: "held", maxLeaseLosses: 0 });
      await t.claimOne();
      await t.store.pause(t.queue, true);
      await t.add({ id: "expires", expireMs: 100 });
      await t.add({ id: "delayed", delayMs: 100 });
      await t.advance(100);
      await t.expectState("expires", "cancelled");
      await t.expectState("delayed", "ready");
      await t.advance(LEASE_MS);
      await t.expectState("held", "failed");
      await t.cancel("delayed");
      await t.add();
      same(await t.claimIds(), [], "what can be claimed");
      await t.store.pause(t.queue, false);
      same((await t.claimIds()).length, 1, "how many can be claimed when it goes on");
    },
  },
];
