// Late writes of those who hold no lease: refused, with the right cause, and nothing changes.
import { same } from "@holdfast/core/testing";
import type { LeaseRef, WriteOutcome } from "../../store/store.ts";
import type { Clause, Trial } from "../trial.ts";
import { completed, failed, LEASE_MS, LOST, released, suspended } from "../trial.ts";

/** Tries every write under a lease; expects `refusal` each time, and the task to stay as it is. */
async function refusesAll(t: Trial, lease: LeaseRef, refusal: WriteOutcome, when: string): Promise<void> {
  const before = await t.find(lease.id);
  const result = await t.store.result(t.queue, lease.id);
  same(await t.renew(lease), refusal, `a renewal ${when}`);
  const reports = [
    { kind: "progress", value: "zombie" },
    { kind: "log", line: "zombie" },
  ] as const;
  same(await t.report(lease, ...reports), refusal, `a report ${when}`);
  same(await t.end(completed(lease, "zombie")), refusal, `a completion ${when}`);
  same(await t.end(failed(lease)), refusal, `a failure ${when}`);
  same(await t.end(failed(lease, 0)), refusal, `a failed try ${when}`);
  same(await t.end(released(lease)), refusal, `giving back ${when}`);
  same(await t.end(suspended(lease, { events: ["zombie"] })), refusal, `a suspension ${when}`);
  same(await t.checkpoint(lease, "zombie"), refusal, `a checkpoint ${when}`);
  same(await t.find(lease.id), before, `the task after late writes ${when}`);
  same(await t.checkpointNames(lease.id), [], `its checkpoints after late writes ${when}`);
  same(await t.store.result(t.queue, lease.id), result, `its result after late writes ${when}`);
}

export const zombieClauses: readonly Clause[] = [
  {
    title:
      "refuses every write of a worker whose lease has ended, while the task waits, runs elsewhere and after",
    check: async (t) => {
      await t.add();
      const zombie = await t.claimOne({ worker: "zombie" });
      await t.advance(LEASE_MS);
      await refusesAll(t, zombie, LOST, "while the task waits");
      const successor = await t.claimOne({ worker: "successor" });
      await refusesAll(t, zombie, LOST, "while another runs it");
      await t.settle(completed(successor, "right"));
      await refusesAll(t, zombie, LOST, "when another has completed it");
      same((await t.store.result(t.queue, zombie.id))?.text, '"right"', "its result");
    },
  },
  {
    title: "refuses it to the same worker too, which claimed the task again",
    check: async (t) => {
      await t.add();
      const stale = await t.claimOne({ worker: "me" });
      await t.advance(LEASE_MS);
      const held = await t.claimOne({ worker: "me" });
      await refusesAll(t, stale, LOST, "under the lease before");
      same(await t.end(completed(held)), { written: true }, "the completion under the lease that is held");
    },
  },
  {
    title: "refuses every write after a lease was settled",
    check: async (t) => {
      const settlements = { completed, failed, released, suspended } as const;
      for (const [name, settlement] of Object.entries(settlements)) {
        await t.add();
        const held = await t.claimOne();
        await t.settle(settlement(held));
        await refusesAll(t, held, LOST, `once the task was ${name}`);
        await t.cancel(held.id);
      }
      await t.add();
      const held = await t.claimOne();
      await t.settle(failed(held, 1_000));
      await refusesAll(t, held, LOST, "while it waits for another try");
      await t.add();
      const sleeper = await t.claimOne();
      await t.settle(suspended(sleeper, { events: ["go"] }));
      await refusesAll(t, sleeper, LOST, "while it waits for an event");
    },
  },
  {
    title: "takes one of two settlements of a lease, in one call too",
    check: async (t) => {
      const id = await t.add();
      const held = await t.claimOne();
      same(await t.settle(completed(held), failed(held)), [{ written: true }, LOST], "outcomes");
      await t.expectState(id, "completed");
    },
  },
  {
    title: "refuses writes to tasks it does not know and under fences it never gave",
    check: async (t) => {
      await refusesAll(t, { id: "unknown", fence: 1 }, LOST, "to an unknown task");
      const id = await t.add();
      await refusesAll(t, { id, fence: 1 }, LOST, "to a task that waits");
      const { fence } = await t.claimOne();
      await refusesAll(t, { id, fence: fence + 1 }, LOST, "under a fence from the future");
      await refusesAll(t, { id, fence: fence - 1 }, LOST, "under a fence from the past");
    },
  },
  {
    title: "refuses a worker that slept through failure and redrive, and through a second life of the ID",
    check: async (t) => {
      const id = await t.fail({ maxAttempts: 1 });
      const { lastSeq } = await t.status(id);
      same(lastSeq, 3, "events so far");
      await t.store.redrive(t.queue, [id]);
      const zombie = await t.claimOne();
      await t.advance(LEASE_MS);
      await t.settle(failed(await t.claimOne()));
      await t.store.redrive(t.queue, [id]);
      await t.claimOne();
      await refusesAll(t, zombie, LOST, "once the task was redriven");
      await t.cancel(id);
      await t.store.discard(t.queue, [id]);
      await refusesAll(t, zombie, LOST, "once the task is forgotten");
      await t.add({ id });
      await t.claimOne();
      await refusesAll(t, zombie, LOST, "once another task has its ID");
    },
  },
];
