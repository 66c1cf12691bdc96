// What has happened to a task, numbered, in pages; and the progress in its status.
import { ensure, same } from "@holdfast/core/testing";
import type { Clause } from "../trial.ts";
import { BROKEN, completed, failed, released, WRITTEN } from "../trial.ts";

export const eventClauses: readonly Clause[] = [
  {
    title: "numbers events from 1 without a gap, in the order of time, and says what each is about",
    check: async (t) => {
      const id = await t.add();
      await t.advance(5);
      const first = await t.claimOne();
      await t.report(first, { kind: "progress", value: { done: 1 } }, { kind: "log", line: "hello" });
      await t.settle(failed(first, 10));
      await t.advance(10);
      await t.settle(released(await t.claimOne()));
      await t.settle(completed(await t.claimOne()));
      const { events, ended } = await t.page(id);
      const begin = events[0]!.at;
      same(
        events.map(({ seq, at, ...rest }) => ({ ...rest, seq, at: at - begin })),
        [
          { type: "enqueued", seq: 1, at: 0 },
          { type: "started", attempt: 1, seq: 2, at: 5 },
          { type: "progress", value: { done: 1 }, seq: 3, at: 5 },
          { type: "log", line: "hello", seq: 4, at: 5 },
          { type: "retrying", delayMs: 10, error: BROKEN, seq: 5, at: 5 },
          { type: "started", attempt: 2, seq: 6, at: 15 },
          { type: "released", seq: 7, at: 15 },
          { type: "started", attempt: 2, seq: 8, at: 15 },
          { type: "completed", seq: 9, at: 15 },
        ],
        "events",
      );
      const status = await t.status(id);
      same([status.lastSeq, ended, begin], [9, true, status.enqueuedAt], "the last number, end and begin");
    },
  },
  {
    title: "hands events out in pages, and ends with the last one of a task that has ended",
    check: async (t) => {
      const id = await t.complete();
      const pages = [await t.page(id, 0, 2), await t.page(id, 2, 1), await t.page(id, 3, 2)];
      same(
        pages.map(({ events, ended }) => [events.map(({ seq }) => seq), ended]),
        [
          [[1, 2], false],
          [[3], true],
          [[], true],
        ],
        "pages",
      );
    },
  },
  {
    title: "does not end the events of a task that lives, nor know those of one it does not know",
    check: async (t) => {
      const id = await t.add();
      same(await t.page(id, 1), { events: [], ended: false }, "events after the last so far");
      same(await t.page(id, 99), { events: [], ended: false }, "events after one that is still to come");
      same(await t.store.events(t.queue, "unknown", 0, 10), undefined, "events of an unknown task");
    },
  },
  {
    title: "goes on numbering when a task is redriven, and is not at the end any more",
    check: async (t) => {
      const id = await t.fail();
      same((await t.page(id, 3)).ended, true, "whether the events of a failed task are at their end");
      await t.store.redrive(t.queue, [id]);
      const { events, ended } = await t.page(id, 3);
      same(
        events.map(({ seq, type }) => [seq, type]),
        [[4, "redriven"]],
        "events behind those of its first life",
      );
      same(ended, false, "whether these are the last");
    },
  },
  {
    title: "shows the latest progress, and keeps it over tries",
    check: async (t) => {
      const id = await t.add();
      const held = await t.claimOne();
      ensure(!("progress" in (await t.status(id))), "there is to be no progress at first");
      await t.report(held, { kind: "progress", value: 10 });
      await t.report(held, { kind: "progress", value: { percent: 20 } });
      await t.settle(failed(held, 0));
      same((await t.status(id)).progress, { percent: 20 }, "the progress");
    },
  },
  {
    title: "takes reports about several tasks in one call, and answers for each",
    check: async (t) => {
      await t.add();
      await t.add();
      const [a, b] = await t.claim(2);
      await t.cancel(a!.id);
      const about = ({ id, fence }: { readonly id: string; readonly fence: number }) => ({
        id,
        fence,
        reports: [{ kind: "log", line: id }] as const,
      });
      const outcomes = await t.store.report(t.queue, [about(a!), about(b!)]);
      same(outcomes, [{ written: false, cause: "cancelled", reason: "not wanted" }, WRITTEN], "outcomes");
      same(await t.happened(a!.id), ["enqueued", "started", "cancelled"], "what has happened to the first");
      same(await t.happened(b!.id), ["enqueued", "started", "log"], "what has happened to the second");
    },
  },
];
