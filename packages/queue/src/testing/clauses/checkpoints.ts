// What a task must not do again: recorded under its lease, kept as long as the task.
import { same } from "@holdfast/core/testing";
import type { Clause } from "../trial.ts";
import { completed, failed, json, LEASE_MS, LOST, released, suspended, WRITTEN } from "../trial.ts";

export const checkpointClauses: readonly Clause[] = [
  {
    title: "keeps checkpoints in the order they were recorded, with their values, bytes too",
    check: async (t) => {
      const id = await t.add();
      const { fence } = await t.claimOne();
      const bytes = { text: '{"$blob":0}', blobs: [new Uint8Array([0, 255])] };
      const first = [
        { name: "z", value: json(1) },
        { name: "a", value: bytes },
      ];
      same(await t.store.checkpoint(t.queue, { id, fence }, first), WRITTEN, "the outcome");
      same(await t.store.checkpoint(t.queue, { id, fence }, []), WRITTEN, "the outcome for none");
      same(await t.checkpoint({ id, fence }, "m"), WRITTEN, "the outcome for a third");
      const expected = [...first, { name: "m", value: json("m") }];
      same(await t.store.checkpoints(t.queue, id), expected, "checkpoints");
      same(await t.store.checkpoints(t.queue, "unknown"), [], "those of an unknown task");
    },
  },
  {
    title: "leaves a checkpoint as it is that is there, and records the others",
    check: async (t) => {
      const id = await t.add();
      const held = await t.claimOne();
      await t.checkpoint(held, "a");
      const again = [
        { name: "a", value: json("other") },
        { name: "b", value: json("b") },
        { name: "b", value: json("twice") },
      ];
      const lease = { id, fence: held.fence };
      same(await t.store.checkpoint(t.queue, lease, again), WRITTEN, "the outcome");
      const expected = ["a", "b"].map((name) => ({ name, value: json(name) }));
      same(await t.store.checkpoints(t.queue, id), expected, "checkpoints");
      same(
        (await t.page(id)).events.slice(2).map(({ seq, at: _, ...event }) => ({ ...event, seq })),
        [
          { type: "checkpoint", name: "a", seq: 3 },
          { type: "checkpoint", name: "b", seq: 4 },
        ],
        "events of them",
      );
    },
  },
  {
    title: "refuses checkpoints under a lease that is not held, and says why",
    check: async (t) => {
      const id = await t.add();
      const stale = await t.claimOne();
      await t.advance(LEASE_MS);
      same(await t.checkpoint(stale, "late"), LOST, "when its lease has ended");
      const held = await t.claimOne();
      same(await t.checkpoint(stale, "late"), LOST, "when another runs it");
      await t.cancel(id);
      const cancelled = { written: false, cause: "cancelled", reason: "not wanted" } as const;
      same(await t.checkpoint(held, "late"), cancelled, "when the task was cancelled");
      same(await t.checkpoint({ id: "unknown", fence: 1 }, "late"), LOST, "when there is no such task");
      same(await t.checkpointNames(id), [], "checkpoints");
    },
  },
  {
    title:
      "keeps checkpoints over tries, waits, lost leases and redrives, and tells workers how many there are",
    check: async (t) => {
      const id = await t.add({ maxAttempts: 2 });
      const ends = [released, suspended, undefined, (held: Lease) => failed(held, 0), failed, completed];
      for (const [before, end] of ends.entries()) {
        const held = await t.claimOne();
        same(held.checkpoints, before, "how many there are, as the worker is told");
        await t.checkpoint(held, `${before}`);
        if (end === undefined) await t.advance(LEASE_MS);
        else await t.settle(end(held));
        if (end === failed) await t.store.redrive(t.queue, [id]);
      }
      await t.expectState(id, "completed");
      same(await t.checkpointNames(id), ["0", "1", "2", "3", "4", "5"], "checkpoints of an ended task");
    },
  },
  {
    title: "forgets checkpoints with their task: a second life of its ID has none",
    check: async (t) => {
      const id = await t.add({ id: "again" });
      const held = await t.claimOne();
      await t.checkpoint(held, "old");
      await t.settle(completed(held));
      await t.store.discard(t.queue, [id]);
      same(await t.checkpointNames(id), [], "checkpoints of a forgotten task");
      await t.add({ id });
      same(await t.checkpointNames(id), [], "checkpoints of the new one");
      same((await t.claimOne()).checkpoints, 0, "how many there are, as its worker is told");
    },
  },
  {
    title: "hands out with each claim what goes with a task, and nothing when nothing does",
    check: async (t) => {
      const meta = '{"ü":"\\u0000"}';
      await t.add({ meta });
      const first = await t.claimOne();
      same(first.meta, meta, "at first");
      await t.settle(released(first));
      same((await t.claimOne()).meta, meta, "then");
      await t.add();
      same("meta" in (await t.claimOne()), false, "whether there is something with a task that has nothing");
    },
  },
];

type Lease = Parameters<typeof failed>[0];
