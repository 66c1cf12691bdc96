// What becomes of new tasks: IDs, dedup keys, limits.
import { ensure, present, same } from "@holdfast/core/testing";
import type { NewTask } from "../../store/store.ts";
import type { Clause } from "../trial.ts";
import { completed, failed, LEASE_MS, WRITTEN } from "../trial.ts";

export const enqueueClauses: readonly Clause[] = [
  {
    title: "answers for each task in order, and knows each as it was given",
    check: async (t) => {
      const tasks = [t.task({ id: "b", priority: 7 }), t.task({ id: "a", name: "other", maxAttempts: 9 })];
      same(
        await t.enqueue(...tasks),
        [
          { outcome: "enqueued", id: "b" },
          { outcome: "enqueued", id: "a" },
        ],
        "outcomes",
      );
      const [a, missing, b] = await t.store.get(t.queue, ["a", "none", "b"]);
      same(missing, undefined, "the status of a task that was never added");
      const { state, name, maxAttempts, attempt, leaseLosses, lastSeq } = present(a, "a");
      same(
        { state, name, maxAttempts, attempt, leaseLosses, lastSeq },
        { state: "ready", name: "other", maxAttempts: 9, attempt: 0, leaseLosses: 0, lastSeq: 1 },
        "the status of a new task",
      );
      same(present(b, "b").priority, 7, "its priority");
    },
  },
  {
    title: "adds nothing for an empty list",
    check: async (t) => same(await t.enqueue(), [], "outcomes"),
  },
  {
    title: "keeps queues apart",
    check: async (t) => {
      await t.add({ id: "one" });
      const outcome = await t.store.enqueue("other", [t.task({ id: "one" })], { limit: 1 });
      same(outcome, { full: false, outcomes: [{ outcome: "enqueued", id: "one" }] }, "the same ID elsewhere");
      same(await t.claimIds(), ["one"], "what is claimed");
      same((await t.store.stats("other")).ready, 1, "tasks ready in the other queue");
    },
  },
  {
    title: "gives workers inputs and readers results as they were put in, bytes too",
    check: async (t) => {
      const payload = (first: number) => ({
        text: '{"a":{"$blob":0},"ü":"\\u0000"}',
        blobs: [new Uint8Array([first, 0, 255]), new Uint8Array()],
      });
      await t.add({ input: payload(1) });
      const { id, fence, input } = await t.claimOne();
      same(input, payload(1), "the input");
      await t.settle({ id, fence, kind: "complete", result: payload(2) });
      same(await t.store.result(t.queue, id), payload(2), "the result");
    },
  },
  {
    title: "refuses an ID that is taken, by a live task or an ended one, and leaves that one as it is",
    check: async (t) => {
      const id = await t.complete({ id: "mine" });
      const before = await t.status(id);
      const again = t.task({ id, name: "again" });
      same(await t.enqueue(again), [{ outcome: "exists", id }], "the outcome beside an ended task");
      same(await t.status(id), before, "the task that has the ID");
      await t.add({ id: "live" });
      const outcomes = await t.enqueue(t.task({ id: "live" }), t.task({ id: "new" }), t.task({ id: "new" }));
      same(
        outcomes.map(({ outcome }) => outcome),
        ["exists", "enqueued", "exists"],
        "the outcomes of several",
      );
    },
  },
  {
    title: "names the live task that has a dedup key, whatever its state, and adds no second one",
    check: async (t) => {
      const first = await t.add({ dedupKey: "k", delayMs: 50 });
      const isRefused = async (when: string): Promise<void> => {
        const second = t.task({ dedupKey: "k" });
        same(
          await t.enqueue(second),
          [{ outcome: "duplicate", id: first }],
          `the outcome while it is ${when}`,
        );
        same(await t.find(second.id), undefined, "the status of the task that was not added");
      };
      await isRefused("scheduled");
      await t.advance(50);
      await isRefused("ready");
      const claimed = await t.claimOne();
      await isRefused("running");
      await t.settle(failed(claimed, 50));
      await isRefused("waiting for another try");
      await t.advance(50);
      await t.claimOne();
      await t.advance(LEASE_MS);
      await isRefused("ready after a lost lease");
    },
  },
  {
    title: "adds one of two with the same dedup key in one batch, and of two batches at a time",
    check: async (t) => {
      const batch = await t.enqueue(
        t.task({ id: "a", dedupKey: "k" }),
        t.task({ id: "b", dedupKey: "k" }),
        t.task({ id: "c", dedupKey: "other" }),
      );
      same(
        batch,
        [
          { outcome: "enqueued", id: "a" },
          { outcome: "duplicate", id: "a" },
          { outcome: "enqueued", id: "c" },
        ],
        "outcomes",
      );
      const racing = await Promise.all([1, 2, 3, 4].map(() => t.enqueue(t.task({ dedupKey: "race" }))));
      const enqueued = racing.flat().filter(({ outcome }) => outcome === "enqueued");
      same(enqueued.length, 1, "tasks added in the race");
      ensure(
        racing.flat().every(({ id }) => id === enqueued[0]!.id),
        "all are to name the one that was added",
      );
    },
  },
  {
    title: "frees a dedup key when its task completes, fails, is cancelled or loses too many leases",
    check: async (t) => {
      await t.complete({ dedupKey: "k" });
      await t.fail({ dedupKey: "k" });
      const cancelled = await t.add({ dedupKey: "k" });
      await t.cancel(cancelled);
      await t.add({ dedupKey: "k", maxLeaseLosses: 0 });
      await t.claimOne();
      await t.advance(LEASE_MS);
      await t.add({ dedupKey: "k" });
    },
  },
  {
    title: "does not let a task free a dedup key that another has by now",
    check: async (t) => {
      const first = await t.fail({ dedupKey: "k" });
      const second = await t.add({ dedupKey: "k" });
      await t.store.discard(t.queue, [first]);
      same(await t.enqueue(t.task({ dedupKey: "k" })), [{ outcome: "duplicate", id: second }], "the outcome");
    },
  },
  {
    title: "adds all or none: what would not fit changes nothing",
    check: async (t) => {
      await t.add();
      await t.add();
      const fits = (...tasks: readonly NewTask[]) => t.store.enqueue(t.queue, tasks, { limit: 3 });
      const refused = [t.task({ dedupKey: "k" }), t.task()];
      same(await fits(...refused), { full: true, live: 2 }, "two more in a queue with room for one");
      same(await t.find(refused[0]!.id), undefined, "the first of those that did not fit");
      same((await t.store.stats(t.queue)).ready, 2, "tasks ready");
      same(
        (await fits(t.task({ dedupKey: "k" }))).full,
        false,
        "one more, with the dedup key of the refused one",
      );
      same(await fits(t.task()), { full: true, live: 3 }, "one more than the limit");
    },
  },
  {
    title: "counts live tasks alone towards the limit, and new ones alone of those that are given",
    check: async (t) => {
      await t.complete();
      await t.fail();
      const scheduled = await t.add({ id: "here", delayMs: 50, dedupKey: "k" });
      await t.add();
      const running = await t.claimOne();
      const add = (limit: number, ...tasks: readonly NewTask[]) => t.store.enqueue(t.queue, tasks, { limit });
      same(await add(2, t.task()), { full: true, live: 2 }, "a third beside one scheduled and one that runs");
      const known = await add(2, t.task({ id: "here" }), t.task({ dedupKey: "k" }));
      same(
        known,
        {
          full: false,
          outcomes: [
            { outcome: "exists", id: "here" },
            { outcome: "duplicate", id: scheduled },
          ],
        },
        "tasks that are there already, in a full queue",
      );
      same(await t.end(completed(running)), WRITTEN, "completing");
      same((await add(2, t.task())).full, false, "one more once one has ended");
    },
  },
  {
    title: "is not full for what adds nothing, also when redrives have gone beyond the limit",
    check: async (t) => {
      const dead = await t.fail();
      const live = await t.add();
      await t.store.redrive(t.queue, [dead]);
      const add = (...tasks: readonly NewTask[]) => t.store.enqueue(t.queue, tasks, { limit: 1 });
      same(await add(), { full: false, outcomes: [] }, "no task");
      const known = { full: false, outcomes: [{ outcome: "exists", id: live }] };
      same(await add(t.task({ id: live })), known, "a task that is there");
      same(await add(t.task()), { full: true, live: 2 }, "a new task");
    },
  },
  {
    title: "takes no notice of what a caller does to a list of tasks it has given",
    check: async (t) => {
      const tasks = [t.task({ id: "a" })];
      await t.store.enqueue(t.queue, tasks, { limit: 10 });
      tasks.length = 0;
      same(await t.claimIds(), ["a"], "what is claimed");
    },
  },
];
