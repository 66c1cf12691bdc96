// Parents and children: who is one, who waits for whom, and who is cancelled with whom.
import { ensure, same } from "@holdfast/core/testing";
import type { Clause } from "../trial.ts";
import { completed, failed, LEASE_MS, suspended } from "../trial.ts";

const GENERATIONS = 500;

export const childClauses: readonly Clause[] = [
  {
    title: "adds a child to a live parent alone, which the same call may have added before it",
    check: async (t) => {
      const outcomes = await t.enqueue(
        t.task({ id: "early", parent: "parent" }),
        t.task({ id: "parent" }),
        t.task({ id: "child", parent: "parent" }),
        t.task({ id: "grandchild", parent: "child" }),
        t.task({ id: "own", parent: "own" }),
      );
      same(
        outcomes,
        [
          { outcome: "no_parent", id: "early" },
          { outcome: "enqueued", id: "parent" },
          { outcome: "enqueued", id: "child" },
          { outcome: "enqueued", id: "grandchild" },
          { outcome: "no_parent", id: "own" },
        ],
        "outcomes",
      );
      same((await t.status("grandchild")).parent, "child", "the parent in a status");
      same(await t.find("early"), undefined, "the status of one that was not added");
      await t.cancel("grandchild");
      const late = t.task({ parent: "grandchild" });
      same(await t.enqueue(late), [{ outcome: "no_parent", id: late.id }], "a child of one that has ended");
      same((await t.store.stats(t.queue)).ready, 2, "tasks that are ready");
    },
  },
  {
    title: "takes no room in a full queue for a child without a parent",
    check: async (t) => {
      await t.add({ id: "here" });
      const add = (...ids: readonly string[]) =>
        t.store.enqueue(
          t.queue,
          ids.map((parent) => t.task({ parent })),
          { limit: 1 },
        );
      const orphan = await add("unknown");
      ensure(!orphan.full, "a child without a parent does not make it full");
      same(orphan.outcomes[0]!.outcome, "no_parent", "its outcome");
      same(await add("unknown", "here"), { full: true, live: 1 }, "one with a parent beside it");
    },
  },
  {
    title: "begins as one that waits, until its last child has ended in whatever way",
    check: async (t) => {
      const parent = t.task({ id: "parent", waitsForChildren: true });
      const ids = ["completes", "fails", "is cancelled", "expires", "is lost"];
      const children = ids.map((id) =>
        t.task({ id, parent: "parent", maxLeaseLosses: 0, ...(id === "expires" ? { expireMs: 100 } : {}) }),
      );
      await t.enqueue(parent, ...children);
      const { state, attempt, ...rest } = await t.status("parent");
      same([state, attempt, "children" in rest && rest.children], ["waiting", 0, true], "its status");
      const [first, second] = await t.claim(2);
      await t.settle(completed(first!), failed(second!));
      await t.cancel("is cancelled");
      await t.advance(100);
      same((await t.status("expires")).state, "cancelled", "the state of the child that expires");
      same(await t.claimIds(), ["is lost"], "what can be claimed");
      await t.expectState("parent", "waiting");
      await t.advance(LEASE_MS);
      await t.expectState("parent", "ready");
      same(await t.claimIds(), ["parent"], "what can be claimed when all have ended");
      same(await t.happened("parent"), ["enqueued", "started"], "what has happened to it");
    },
  },
  {
    title: "is ready at once when the call that adds it adds no child of it, whatever it tries",
    check: async (t) => {
      await t.add({ id: "taken", dedupKey: "k" });
      await t.enqueue(
        t.task({ id: "parent", waitsForChildren: true, delayMs: 1_000 }),
        t.task({ id: "taken", parent: "parent" }),
        t.task({ dedupKey: "k", parent: "parent" }),
        t.task({ parent: "unknown" }),
      );
      await t.expectState("parent", "ready");
      same(await t.childIds("parent"), [], "its children");
    },
  },
  {
    title: "waits for children that are added later too, and not for those of others",
    check: async (t) => {
      await t.enqueue(
        t.task({ id: "parent", waitsForChildren: true }),
        t.task({ id: "a", parent: "parent" }),
        t.task({ id: "other" }),
        t.task({ id: "c", parent: "other" }),
      );
      await t.add({ id: "b", parent: "parent" });
      await t.cancel("a");
      await t.cancel("c");
      await t.expectState("parent", "waiting");
      await t.cancel("b");
      await t.expectState("parent", "ready");
    },
  },
  {
    title: "lists the children of a task in the order they were added, until they are forgotten",
    check: async (t) => {
      await t.add({ id: "parent" });
      for (const id of ["z", "a", "m"]) await t.add({ id, parent: "parent", priority: -1 });
      await t.add({ id: "grandchild", parent: "a" });
      same(await t.childIds("parent"), ["z", "a", "m"], "its children");
      await t.cancel("a");
      await t.settle(completed(await t.claimOne()));
      same(
        (await t.store.children(t.queue, "parent")).map(({ state }) => state),
        ["ready", "cancelled", "ready"],
        "their states, once it has ended itself",
      );
      await t.store.discard(t.queue, ["a"]);
      same(await t.childIds("parent"), ["z", "m"], "its children when one is forgotten");
      same(await t.childIds("z"), [], "those of a task that has none");
      same(await t.childIds("unknown"), [], "those of an unknown task");
    },
  },
  {
    title: "lets a task that runs wait for its children, and goes on at once when none is live",
    check: async (t) => {
      const id = await t.add({ priority: 1 });
      const held = await t.claimOne();
      await t.add({ id: "child", parent: id });
      await t.settle(suspended(held, { children: true }));
      same(await t.claimIds(), ["child"], "what can be claimed");
      await t.expectState(id, "waiting");
      await t.cancel("child");
      const again = await t.claimOne();
      same([again.id, again.attempt], [id, 1], "what can be claimed when the child has ended");
      await t.settle(suspended(again, { children: true, delayMs: 1_000 }));
      await t.expectState(id, "ready");
    },
  },
  {
    title: "waits for an event or its children, whichever is first, and no longer than it is to",
    check: async (t) => {
      const until = { events: ["go"], children: true, delayMs: 1_000 };
      const wait = async (): Promise<string> => {
        const id = await t.add({ priority: 1 });
        const held = await t.claimOne();
        await t.add({ id: `child of ${id}`, parent: id });
        await t.settle(suspended(held, until));
        const status = await t.status(id);
        ensure(status.state === "waiting", `it is to wait, and is ${status.state}`);
        same([status.events, status.children], [["go"], true], "for what");
        return id;
      };
      const told = await wait();
      await t.signal(told, "go");
      await t.expectState(told, "ready");
      await t.cancel(told);
      const alone = await wait();
      await t.cancel(`child of ${alone}`);
      await t.expectState(alone, "ready");
      await t.cancel(alone);
      const late = await wait();
      await t.advance(999);
      await t.expectState(late, "waiting");
      await t.advance(1);
      await t.expectState(late, "ready");
    },
  },
  {
    title: "leaves children alone when their parent completes or fails",
    check: async (t) => {
      for (const end of [completed, failed]) {
        const id = await t.add({ priority: 1 });
        const held = await t.claimOne();
        const child = await t.add({ parent: id });
        await t.settle(end(held));
        same(await t.claimIds(), [child], "what can be claimed");
      }
    },
  },
  {
    title: "cancels the live children of a task, and theirs, for the same reason, and tells their workers",
    check: async (t) => {
      await t.enqueue(
        t.task({ id: "parent", waitsForChildren: true }),
        t.task({ id: "done", parent: "parent", priority: 9 }),
        t.task({ id: "runs", parent: "parent", priority: 8 }),
        t.task({ id: "late", parent: "parent", delayMs: 1_000 }),
        t.task({ id: "grandchild", parent: "late", dedupKey: "k" }),
        t.task({ id: "beside" }),
      );
      await t.settle(completed(await t.claimOne()));
      const held = await t.claimOne({ worker: "me" });
      same(await t.cancel("parent", "late"), ["cancelled", "ended"], "outcomes");
      for (const id of ["parent", "runs", "late", "grandchild"]) {
        const status = await t.status(id);
        ensure(status.state === "cancelled", `${id} is to be cancelled, and is ${status.state}`);
        same(status.reason, "not wanted", "why");
      }
      await t.expectState("done", "completed");
      same((await t.renew(held)).written, false, "whether the child that runs keeps its lease");
      const { signal } = new AbortController();
      const revoked = await t.ends(t.store.waitForRevoked(t.queue, "me", signal), "being told of it");
      const { id, fence } = held;
      same(revoked, [{ id, fence, reason: "not wanted" }], "what its worker is told");
      same(await t.claimIds(), ["beside"], "what can be claimed");
      await t.add({ dedupKey: "k" });
    },
  },
  {
    title: "cancels any number of generations",
    check: async (t) => {
      const ids = Array.from({ length: GENERATIONS }, (_, index) => `g${index}`);
      await t.enqueue(
        ...ids.map((id, index) => t.task({ id, ...(index === 0 ? {} : { parent: ids[index - 1]! }) })),
      );
      same(await t.cancel("g0"), ["cancelled"], "the outcome");
      const { ready, cancelled } = await t.store.stats(t.queue);
      same({ ready, cancelled }, { ready: 0, cancelled: GENERATIONS }, "counts");
    },
  },
  {
    title: "does not wait for a child again that was redriven, nor count it twice",
    check: async (t) => {
      await t.enqueue(
        t.task({ id: "parent", waitsForChildren: true }),
        t.task({ id: "failed", parent: "parent" }),
        t.task({ id: "other", parent: "parent" }),
      );
      await t.settle(failed(await t.claimOne()));
      await t.store.redrive(t.queue, ["failed"]);
      const [other, again] = await t.claim(2);
      same([other?.id, again?.id], ["other", "failed"], "what can be claimed");
      await t.settle(completed(again!));
      await t.expectState("parent", "waiting");
      await t.settle(completed(other!));
      await t.expectState("parent", "ready");
      same(await t.childIds("parent"), ["failed", "other"], "its children");
    },
  },
  {
    title: "does not wait for a redriven child that is live, but cancels it with its parent",
    check: async (t) => {
      const id = await t.add({ priority: 1 });
      const held = await t.claimOne();
      await t.fail({ id: "child", parent: id });
      await t.store.redrive(t.queue, ["child"]);
      await t.settle(suspended(held, { children: true }));
      await t.expectState(id, "ready");
      await t.cancel(id);
      await t.expectState("child", "cancelled");
    },
  },
  {
    title: "keeps a second life of a parent's ID apart from the children of the first",
    check: async (t) => {
      await t.add({ id: "parent", priority: 1 });
      const held = await t.claimOne();
      await t.add({ id: "old", parent: "parent" });
      await t.settle(completed(held));
      await t.store.discard(t.queue, ["parent"]);
      await t.enqueue(
        t.task({ id: "parent", waitsForChildren: true }),
        t.task({ id: "new", parent: "parent" }),
      );
      same(await t.childIds("parent"), ["new"], "its children");
      await t.cancel("old");
      await t.expectState("parent", "waiting");
      await t.cancel("new");
      await t.expectState("parent", "ready");
    },
  },
  {
    title: "wakes who waits for work when the last child has ended",
    check: async (t) => {
      await t.enqueue(
        t.task({ id: "parent", waitsForChildren: true }),
        t.task({ id: "child", parent: "parent" }),
      );
      const child = await t.claimOne();
      const waiting = t.store.waitForWork(t.queue, new AbortController().signal);
      await t.goesOn(waiting, "waiting for work while the child runs");
      await t.settle(completed(child));
      await t.ends(waiting, "waiting for work when it has ended");
      same(await t.claimIds(), ["parent"], "what can be claimed");
    },
  },
];
