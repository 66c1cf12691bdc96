// Failed tasks: looked at in pages, tried again, thrown away.
import { ensure, same } from "@holdfast/core/testing";
import type { Clause } from "../trial.ts";
import { BROKEN, completed, failed, json, LEASE_MS } from "../trial.ts";

export const deadLetterClauses: readonly Clause[] = [
  {
    title: "lists failed tasks alone, the oldest failure first, in pages",
    check: async (t) => {
      for (const id of ["late", "early", "lost"]) await t.add({ id, maxLeaseLosses: 0 });
      const [late, early] = await t.claim(3);
      await t.settle(failed(early!));
      await t.advance(10);
      await t.settle(failed(late!));
      await t.advance(LEASE_MS);
      await t.complete();
      await t.add();
      same(await t.deadLetterIds(), ["early", "late", "lost"], "all");
      same(await t.deadLetterIds(2), ["early", "late"], "the first page");
      same(await t.deadLetterIds(2, "late"), ["lost"], "the second page");
      same(await t.deadLetterIds(2, "lost"), [], "the page behind the last");
      const [first] = await t.store.deadLetters(t.queue, { max: 1 });
      ensure(first?.state === "failed", "a dead letter has failed");
      same(first.error, BROKEN, "why it failed");
    },
  },
  {
    title: "makes a failed task ready as if it had never been tried",
    check: async (t) => {
      const id = await t.add({ maxAttempts: 2, maxLeaseLosses: 1 });
      const first = await t.claimOne();
      await t.report(first, { kind: "progress", value: 50 });
      await t.advance(LEASE_MS);
      await t.settle(failed(await t.claimOne(), 0, 99));
      await t.settle(failed(await t.claimOne(), 0));
      same(await t.store.redrive(t.queue, [id]), ["redriven"], "the outcome");
      const { state, attempt, leaseLosses, progress, lastError } = await t.status(id);
      same(
        { state, attempt, leaseLosses, progress, lastError },
        { state: "ready", attempt: 0, leaseLosses: 0, progress: undefined, lastError: undefined },
        "its status",
      );
      same(await t.deadLetterIds(), [], "dead letters");
      const again = await t.claimOne();
      same([again.attempt, again.backoffState], [1, 0], "the try that is made next");
      await t.settle(failed(again, 0));
      await t.claimOne();
      await t.advance(LEASE_MS);
      await t.settle(completed(await t.claimOne()));
      await t.expectState(id, "completed");
    },
  },
  {
    title: "puts a redriven task behind those that are there",
    check: async (t) => {
      const old = await t.fail();
      const [a, b] = [await t.add(), await t.add()];
      await t.store.redrive(t.queue, [old]);
      same(await t.claimIds(), [a, b, old], "the order of claims");
    },
  },
  {
    title: "shows the input of a task that lives or has failed, with what was said beside it",
    check: async (t) => {
      const input = {
        text: `{"a":{"$blob":0},"b":"${"ü".repeat(2_000)}"}`,
        blobs: [new Uint8Array([0, 255])],
      };
      const stored = { name: "import", input, meta: '{"v":2}' };
      const id = await t.add({ ...stored, maxAttempts: 1 });
      const shows = async (when: string): Promise<void> =>
        same(await t.store.input(t.queue, id), stored, `the input of a task ${when}`);
      await shows("that is ready");
      await t.settle(failed(await t.claimOne()));
      await shows("that has failed");
      await t.store.redrive(t.queue, [id]);
      await shows("that was redriven");
      await t.claimOne();
      await shows("that runs");
      const short = t.task({ delayMs: 1_000, input: { text: "", blobs: [] } });
      await t.enqueue(short);
      const { name, input: nothing } = short;
      same(await t.store.input(t.queue, short.id), { name, input: nothing }, "an input that is nothing");
    },
  },
  {
    title: "shows no input of a task that has completed or was cancelled, nor of one that is not there",
    check: async (t) => {
      const large = { text: JSON.stringify("x".repeat(2_000)), blobs: [] };
      for (const input of [json("small"), large]) {
        const ids = [await t.complete({ input }), await t.complete({ input }, "y".repeat(2_000))];
        const gone = await t.add({ input });
        await t.cancel(gone);
        for (const id of [...ids, gone, "unknown"])
          same(await t.store.input(t.queue, id), undefined, `the input of ${id}`);
      }
    },
  },
  {
    title: "redrives failed tasks alone, and answers for each in order",
    check: async (t) => {
      const dead = await t.fail();
      const done = await t.complete();
      const ready = await t.add();
      const outcomes = await t.store.redrive(t.queue, [done, dead, "unknown", ready, dead]);
      same(outcomes, ["not_failed", "redriven", "unknown", "not_failed", "not_failed"], "outcomes");
      await t.expectState(done, "completed");
    },
  },
  {
    title: "does not redrive a task whose dedup key another live one has, and holds the key once it does",
    check: async (t) => {
      const old = await t.fail({ dedupKey: "k" });
      const other = await t.add({ dedupKey: "k" });
      same(await t.store.redrive(t.queue, [old]), ["duplicate"], "the outcome beside another");
      await t.expectState(old, "failed");
      same(await t.deadLetterIds(), [old], "dead letters");
      await t.cancel(other);
      same(await t.store.redrive(t.queue, [old]), ["redriven"], "the outcome once it has ended");
      const next = t.task({ dedupKey: "k" });
      same(await t.enqueue(next), [{ outcome: "duplicate", id: old }], "another with its key");
    },
  },
  {
    title: "forgets ended tasks that are discarded, and no live ones",
    check: async (t) => {
      const [done, dead] = [await t.complete(), await t.fail()];
      const gone = await t.add();
      await t.cancel(gone);
      const ready = await t.add();
      const outcomes = await t.store.discard(t.queue, [done, ready, dead, "unknown", gone, done]);
      same(outcomes, [true, false, true, false, true, false], "outcomes");
      for (const id of [done, dead, gone]) {
        same(await t.find(id), undefined, "the status of a discarded task");
        same(await t.store.result(t.queue, id), undefined, "its result");
        same(await t.store.events(t.queue, id, 0, 10), undefined, "its events");
      }
      same(await t.deadLetterIds(), [], "dead letters");
      same(await t.claimIds(), [ready], "what can be claimed");
      await t.add({ id: done });
    },
  },
];
