// Tasks that are given back until something happens, and are told what has.
import { ensure, same } from "@holdfast/core/testing";
import type { Clause } from "../trial.ts";
import { completed, failed, json, LEASE_MS, suspended, WRITTEN } from "../trial.ts";

export const waitingClauses: readonly Clause[] = [
  {
    title: "lets a task wait for an event, and makes it ready when it is told",
    check: async (t) => {
      const id = await t.add({ maxAttempts: 1, maxLeaseLosses: 0 });
      same(await t.end(suspended(await t.claimOne(), { events: ["paid"] })), WRITTEN, "the outcome");
      const { state, attempt, leaseLosses, ...rest } = await t.status(id);
      same({ state, attempt, leaseLosses }, { state: "waiting", attempt: 1, leaseLosses: 0 }, "its status");
      same(
        ["events", "children", "dueAt"].map((key) => (rest as Readonly<Record<string, unknown>>)[key]),
        [["paid"], undefined, undefined],
        "what it waits for",
      );
      await t.advance(LEASE_MS * 10);
      same(await t.claimIds(), [], "what can be claimed meanwhile");
      same(await t.signal(id, "paid", 42), "delivered", "the outcome of telling it");
      await t.expectState(id, "ready");
      same(
        await t.store.checkpoints(t.queue, id),
        [{ name: "paid", value: json(42) }],
        "what it has been told",
      );
      const again = await t.claimOne();
      same([again.attempt, again.checkpoints], [1, 1], "the try, which is the same, and its checkpoints");
      await t.settle(completed(again));
      same(
        (await t.page(id)).events.slice(2, 4).map(({ at: _, ...event }) => event),
        [
          { type: "suspended", events: ["paid"], seq: 3 },
          { type: "signalled", name: "paid", seq: 4 },
        ],
        "events",
      );
    },
  },
  {
    title: "goes on at once when it has been told already, or has recorded that itself",
    check: async (t) => {
      const id = await t.add();
      same(await t.signal(id, "early"), "delivered", "telling a task that is not yet started");
      const held = await t.claimOne();
      await t.settle(suspended(held, { events: ["early"] }));
      const again = await t.claimOne();
      await t.checkpoint(again, "own");
      await t.settle(suspended(again, { events: ["own"], delayMs: 50 }));
      await t.expectState(id, "ready");
      same(
        await t.happened(id),
        ["enqueued", "signalled", "started", "suspended", "started", "checkpoint", "suspended"],
        "what has happened",
      );
    },
  },
  {
    title: "goes on waiting when it is told something else",
    check: async (t) => {
      const id = await t.add();
      await t.settle(suspended(await t.claimOne(), { events: ["paid"] }));
      same(await t.signal(id, "shipped"), "delivered", "the outcome");
      await t.expectState(id, "waiting");
      await t.signal(id, "paid");
      await t.expectState(id, "ready");
      same(await t.checkpointNames(id), ["shipped", "paid"], "what it has been told");
    },
  },
  {
    title:
      "tells a live task everything once, whatever its state; one that has ended or is not there nothing",
    check: async (t) => {
      const id = await t.add({ delayMs: 50 });
      same(await t.signal(id, "a"), "delivered", "a delayed task");
      same(await t.signal(id, "a", "other"), "duplicate", "the same again");
      await t.advance(50);
      const held = await t.claimOne();
      same(await t.signal(id, "b"), "delivered", "a task that runs");
      await t.checkpoint(held, "c");
      same(await t.signal(id, "c", "other"), "duplicate", "what it has recorded itself");
      await t.settle(failed(held, 50));
      same(await t.signal(id, "d"), "delivered", "a task that waits for another try");
      await t.expectState(id, "scheduled");
      await t.cancel(id);
      same(await t.signal(id, "e"), "ended", "a task that has ended");
      same(await t.signal("unknown", "a"), "unknown", "a task that is not there");
      const expected = ["a", "b", "c", "d"].map((name) => ({ name, value: json(name) }));
      same(await t.store.checkpoints(t.queue, id), expected, "its checkpoints");
      same(
        await t.happened(id),
        ["enqueued", "signalled", "started", "signalled", "checkpoint", "retrying", "signalled", "cancelled"],
        "what has happened",
      );
    },
  },
  {
    title: "waits for an event no longer than it is to",
    check: async (t) => {
      const id = await t.add();
      await t.settle(suspended(await t.claimOne(), { events: ["paid"], delayMs: 500 }));
      const status = await t.status(id);
      ensure(status.state === "waiting", `it is to wait, and is ${status.state}`);
      same(
        [status.events, (status.dueAt ?? 0) - status.enqueuedAt],
        [["paid"], 500],
        "for what, and how long",
      );
      await t.advance(499);
      same(await t.claimIds(), [], "what can be claimed a millisecond before");
      await t.advance(1);
      const again = await t.claimOne();
      same([again.attempt, again.checkpoints], [1, 0], "its try, and its checkpoints");
      same(await t.signal(id, "paid"), "delivered", "telling it later");
      await t.settle(completed(again));
    },
  },
  {
    title: "waits for whichever of some events comes first, and for none that has come",
    check: async (t) => {
      const id = await t.add();
      const events = ["paid", "refused"];
      await t.settle(suspended(await t.claimOne(), { events }));
      const status = await t.status(id);
      same(status.state === "waiting" && status.events, events, "what it waits for");
      await t.signal(id, "refused");
      await t.expectState(id, "ready");
      await t.settle(suspended(await t.claimOne(), { events: ["paid", "withdrawn"] }));
      await t.expectState(id, "waiting");
      await t.signal(id, "paid");
      await t.expectState(id, "ready");
      await t.settle(suspended(await t.claimOne(), { events: ["withdrawn", "refused"] }));
      await t.expectState(id, "ready");
    },
  },
  {
    title: "sleeps for a time, and uses up no try",
    check: async (t) => {
      const id = await t.add({ maxAttempts: 1 });
      await t.settle(suspended(await t.claimOne(), { delayMs: 500 }));
      const status = await t.status(id);
      ensure(status.state === "scheduled", `it is to be scheduled, and is ${status.state}`);
      same(status.dueAt - status.enqueuedAt, 500, "for how long");
      await t.advance(499);
      same(await t.claimIds(), [], "what can be claimed a millisecond before");
      await t.advance(1);
      const again = await t.claimOne();
      same([again.id, again.attempt], [id, 1], "the try that is made then");
      same(await t.happened(id), ["enqueued", "started", "suspended", "started"], "what has happened");
    },
  },
  {
    title: "is ready at once when it waits for nothing, or not at all",
    check: async (t) => {
      const id = await t.add();
      for (const until of [{}, { delayMs: 0 }, { events: ["never"], delayMs: 0 }, { children: false }]) {
        same(await t.end(suspended(await t.claimOne(), until)), WRITTEN, "the outcome");
        await t.expectState(id, "ready");
      }
    },
  },
  {
    title: "keeps its place while it waits: in its group, and among others",
    check: async (t) => {
      await t.add({ id: "first", group: "g" });
      await t.add({ id: "second", group: "g" });
      await t.settle(suspended(await t.claimOne(), { events: ["go"] }));
      await t.add({ id: "free" });
      same(await t.claimIds(), ["free"], "what can be claimed while the first of the group waits");
      await t.add({ id: "last" });
      await t.signal("first", "go");
      same(await t.claimIds(), ["first", "last"], "what can be claimed then");
    },
  },
  {
    title: "is alive while it waits: it has its dedup key, takes room, is counted, and can be cancelled",
    check: async (t) => {
      const id = await t.add({ dedupKey: "k" });
      await t.settle(suspended(await t.claimOne(), { events: ["go"] }));
      const again = t.task({ dedupKey: "k" });
      same(await t.enqueue(again), [{ outcome: "duplicate", id }], "another with its key");
      same(
        await t.store.enqueue(t.queue, [t.task()], { limit: 1 }),
        { full: true, live: 1 },
        "one more beside it in a queue for one",
      );
      const { waiting, ready, scheduled } = await t.store.stats(t.queue);
      same({ waiting, ready, scheduled }, { waiting: 1, ready: 0, scheduled: 0 }, "counts");
      same(await t.store.discard(t.queue, [id]), [false], "whether it can be discarded");
      same(await t.cancel(id), ["cancelled"], "the outcome of a cancel");
      same((await t.store.stats(t.queue)).waiting, 0, "tasks that wait, then");
    },
  },
  {
    title: "wakes who waits for work when it is told, and when it has waited long enough",
    check: async (t) => {
      const id = await t.add();
      const { signal } = new AbortController();
      await t.settle(suspended(await t.claimOne(), { events: ["go"] }));
      const told = t.store.waitForWork(t.queue, signal);
      await t.goesOn(told, "waiting for work before it is told");
      await t.signal(id, "go");
      await t.ends(told, "waiting for work once it is told");
      await t.settle(suspended(await t.claimOne(), { events: ["more"], delayMs: 1_000 }));
      const late = t.store.waitForWork(t.queue, signal);
      await t.goesOn(late, "waiting for work before its time");
      await t.advance(800);
      await t.ends(late, "waiting for work at its time");
    },
  },
  {
    title: "claims in the same step what was given back and need not wait",
    check: async (t) => {
      const id = await t.add();
      await t.add({ id: "next" });
      const held = await t.claimOne();
      await t.checkpoint(held, "done");
      const request = { worker: "me", max: 1, leaseMs: LEASE_MS };
      const { claimed } = await t.store.settle(t.queue, [suspended(held, { events: ["done"] })], request);
      same(
        claimed.map((task) => task.id),
        [id],
        "what is claimed",
      );
      const then = await t.store.settle(t.queue, [suspended(claimed[0]!, { events: ["more"] })], request);
      same(
        then.claimed.map((task) => task.id),
        ["next"],
        "what is claimed when it has to wait",
      );
    },
  },
];
