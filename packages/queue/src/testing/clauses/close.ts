// What is left to do with a store that is closed: nothing.
import { hasCode } from "@holdfast/core";
import { ensure, same } from "@holdfast/core/testing";
import type { Clause } from "../trial.ts";
import { completed } from "../trial.ts";

export const closeClauses: readonly Clause[] = [
  {
    title: "ends all waits",
    check: async (t) => {
      const { signal } = new AbortController();
      const id = await t.add();
      await t.claimOne({ worker: "me" });
      const waits = [
        t.store.waitForWork(t.queue, signal),
        t.store.waitForEvents(t.queue, id, 2, signal),
        t.store.waitForRevoked(t.queue, "me", signal),
      ];
      for (const wait of waits) wait.catch(() => {});
      await t.advance(10);
      await t.store.close();
      for (const wait of waits) await t.ends(wait.then(ignore, ignore), "a wait on a closed store");
    },
  },
  {
    title: "rejects every later call with CLOSED",
    check: async (t) => {
      const { store, queue } = t;
      const { signal } = new AbortController();
      const id = await t.add();
      const held = await t.claimOne();
      const schedule = { key: "a", text: "", nextAt: 1 };
      await store.close();
      const calls: Readonly<Record<string, () => Promise<unknown>>> = {
        enqueue: () => store.enqueue(queue, [t.task()], { limit: 10 }),
        claim: () => t.claim(),
        settle: () => store.settle(queue, [completed(held)]),
        renew: () => t.renew(held),
        report: () => t.report(held, { kind: "log", line: "late" }),
        checkpoint: () => t.checkpoint(held, "late"),
        checkpoints: () => store.checkpoints(queue, id),
        signal: () => t.signal(id, "late"),
        children: () => store.children(queue, id),
        cancel: () => t.cancel(id),
        get: () => store.get(queue, [id]),
        result: () => store.result(queue, id),
        events: () => store.events(queue, id, 0, 1),
        waitForEvents: () => store.waitForEvents(queue, id, 0, signal),
        waitForWork: () => store.waitForWork(queue, signal),
        waitForRevoked: () => store.waitForRevoked(queue, "me", signal),
        deadLetters: () => store.deadLetters(queue, { max: 1 }),
        redrive: () => store.redrive(queue, [id]),
        discard: () => store.discard(queue, [id]),
        stats: () => store.stats(queue),
        meter: () => store.meter(queue),
        list: () => store.list(queue, "ready", 1),
        pause: () => store.pause(queue, true),
        setSchedule: () => store.setSchedule(queue, schedule),
        removeSchedule: () => store.removeSchedule(queue, "a"),
        schedules: () => store.schedules(queue),
        fire: () => store.fire(queue, schedule, 2, t.task(), { limit: 1 }),
      };
      for (const [name, call] of Object.entries(calls)) {
        const outcome = call().then(
          () => "an answer",
          (error: unknown) => (hasCode(error, "CLOSED") ? "CLOSED" : error),
        );
        same(await t.ends(outcome, `${name}() on a closed store`), "CLOSED", `the answer of ${name}()`);
      }
    },
  },
  {
    title: "can be closed twice",
    check: async (t) => {
      await t.store.close();
      await t.store.close();
      ensure(true, "closing twice");
    },
  },
];

function ignore(): void {}
