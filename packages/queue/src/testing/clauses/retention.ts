// How long ended tasks are kept, and that counts are what a look at each task would give.
import { ensure, same } from "@holdfast/core/testing";
import type { QueueStats } from "../../store/store.ts";
import type { Clause, Trial } from "../trial.ts";
import { completed, failed, KEEP_FAILED_MS, KEEP_MS, LEASE_MS } from "../trial.ts";

async function isForgotten(t: Trial, id: string): Promise<void> {
  same(await t.find(id), undefined, "the status of a task that is no longer kept");
  same(await t.store.result(t.queue, id), undefined, "its result");
  same(await t.store.events(t.queue, id, 0, 10), undefined, "its events");
}

const NONE: QueueStats = {
  scheduled: 0,
  waiting: 0,
  ready: 0,
  running: 0,
  completed: 0,
  failed: 0,
  cancelled: 0,
};

export const retentionClauses: readonly Clause[] = [
  {
    title: "keeps completed and cancelled tasks as long as they are to be kept, and no longer",
    check: async (t) => {
      const done = await t.complete({ keepMs: 1_000, keepFailedMs: 1 });
      const gone = await t.add({ keepMs: 1_000, keepFailedMs: 1 });
      await t.cancel(gone);
      await t.advance(999);
      await t.expectState(done, "completed");
      await t.expectState(gone, "cancelled");
      ensure((await t.store.result(t.queue, done)) !== undefined, "there is to be a result");
      await t.advance(1);
      await isForgotten(t, done);
      await isForgotten(t, gone);
    },
  },
  {
    title: "keeps failed tasks as long as those are to be kept, and no longer",
    check: async (t) => {
      const dead = await t.fail({ keepMs: 1, keepFailedMs: 1_000 });
      await t.advance(999);
      same(await t.deadLetterIds(), [dead], "dead letters a millisecond before");
      await t.advance(1);
      same(await t.deadLetterIds(), [], "dead letters");
      await isForgotten(t, dead);
    },
  },
  {
    title: "forgets no live task, and none that was redriven",
    check: async (t) => {
      const redriven = await t.fail({ keepFailedMs: 1_000 });
      const waiting = await t.add({ keepMs: 1 });
      await t.advance(500);
      await t.store.redrive(t.queue, [redriven]);
      await t.advance(KEEP_FAILED_MS * 2);
      same(await t.claimIds(), [waiting, redriven], "what can be claimed");
    },
  },
  {
    title: "wakes who waits for the events of a task that is no longer kept",
    check: async (t) => {
      const id = await t.complete({ keepMs: 1_000 });
      const waiting = t.store.waitForEvents(t.queue, id, 3, new AbortController().signal);
      await t.goesOn(waiting, "waiting for the events of an ended task");
      await t.advance(1_000);
      await t.ends(waiting, "waiting for the events of a forgotten task");
    },
  },
  {
    title: "lets an ID be used again once its task is forgotten",
    check: async (t) => {
      await t.complete({ id: "again", keepMs: 10 });
      await t.advance(10);
      await t.add({ id: "again" });
      same(await t.happened("again"), ["enqueued"], "what has happened to the new one");
    },
  },
  {
    title: "counts tasks by state as a look at each of them would",
    check: async (t) => {
      const ids: string[] = [];
      const add = async (given: Parameters<typeof t.add>[0] = {}): Promise<void> => {
        ids.push(await t.add(given));
      };
      const counted = async (when: string): Promise<void> => {
        const found = await t.store.get(t.queue, ids);
        const counts: { -readonly [K in keyof QueueStats]: number } = { ...NONE };
        for (const status of found) if (status !== undefined) counts[status.state] += 1;
        same(await t.store.stats(t.queue), counts, `counts ${when}`);
      };
      await counted("of no tasks");
      for (let n = 0; n < 6; n += 1) await add({ maxLeaseLosses: n % 2, group: `g${n % 3}` });
      for (let n = 0; n < 2; n += 1) await add({ delayMs: 1_000 });
      await counted("of new ones");
      const held = await t.claim(3);
      await counted("while some run");
      await t.settle(completed(held[0]!), failed(held[1]!, 50));
      await counted("once one has completed and one waits for another try");
      await t.cancel(ids[5]!, ids[6]!);
      await counted("once two are cancelled");
      await t.advance(LEASE_MS);
      await counted("once a lease is lost");
      await t.settle(...(await t.claim(10)).map((claimed) => failed(claimed)));
      await counted("once all of a claim have failed");
      await t.store.redrive(t.queue, [ids[0]!, ids[1]!, ids[2]!, ids[3]!]);
      await counted("once some are redriven");
      await t.store.discard(t.queue, [ids[0]!, ids[4]!, ids[5]!]);
      await counted("once some are discarded");
      await t.advance(KEEP_MS);
      await t.advance(KEEP_FAILED_MS);
      await counted("when the rest are no longer kept");
    },
  },
];
