// When tasks are to be added by themselves: what is kept of it, and that each time is taken once.
import { same } from "@holdfast/core/testing";
import type { FireOutcome, NewTask, Schedule } from "../../store/store.ts";
import { MAX_SCHEDULES } from "../../store/store.ts";
import type { Clause, Trial } from "../trial.ts";

function schedule(key: string, nextAt: number, text: string = `text of ${key}`): Schedule {
  return { key, text, nextAt };
}

function set(t: Trial, ...schedules: readonly Schedule[]): Promise<readonly boolean[]> {
  return Promise.all(schedules.map((each) => t.store.setSchedule(t.queue, each)));
}

function fire(
  t: Trial,
  given: Schedule,
  nextAt: number,
  task: NewTask,
  limit: number = 100,
): Promise<FireOutcome> {
  return t.store.fire(t.queue, given, nextAt, task, { limit });
}

export const scheduleClauses: readonly Clause[] = [
  {
    title: "keeps schedules until they are removed, and lists the one that is next first",
    check: async (t) => {
      const [b, a, c] = [schedule("b", 3_000), schedule("a", 1_000), schedule("ü", 2_000, '{"x":"\\u0000"}')];
      same(await set(t, b, a, c), [true, true, true], "whether they are there");
      same(await t.store.schedules(t.queue), [a, c, b], "schedules");
      same(await t.store.schedules("other"), [], "those of another queue");
      same(await t.store.removeSchedule(t.queue, "a"), true, "whether there was one");
      same(await t.store.removeSchedule(t.queue, "a"), false, "whether there is one still");
      same(await t.store.schedules(t.queue), [c, b], "schedules then");
    },
  },
  {
    title:
      "leaves a schedule as it is that says the same, with its time, and replaces one that says something else",
    check: async (t) => {
      await set(t, schedule("a", 1_000));
      same(await set(t, schedule("a", 5_000)), [true], "whether it is there");
      same(await t.store.schedules(t.queue), [schedule("a", 1_000)], "the schedule that says the same");
      same(await set(t, schedule("a", 5_000, "new")), [true], "whether it is there then");
      same(await t.store.schedules(t.queue), [schedule("a", 5_000, "new")], "the one that does not");
    },
  },
  {
    title: "keeps so many schedules and no more, and still replaces those that are there",
    check: async (t) => {
      const many = Array.from({ length: MAX_SCHEDULES }, (_, index) => schedule(`k${index}`, 1_000 + index));
      same((await set(t, ...many)).filter(Boolean).length, MAX_SCHEDULES, "how many are there");
      same(await set(t, schedule("one more", 1)), [false], "whether one more is there");
      same(await set(t, schedule("k5", 1, "new")), [true], "whether a new one for an old is there");
      same((await t.store.schedules(t.queue)).length, MAX_SCHEDULES, "how many are there then");
      await t.store.removeSchedule(t.queue, "k0");
      same(await set(t, schedule("one more", 1)), [true], "whether one more is there when one is gone");
    },
  },
  {
    title: "adds a task and moves its schedule on, once for each time, however many ask at a time",
    check: async (t) => {
      const first = schedule("a", 1_000);
      await set(t, first);
      const outcomes = await Promise.all([1, 2, 3].map(() => fire(t, first, 2_000, t.task())));
      same([...outcomes].sort(), ["fired", "stale", "stale"], "outcomes");
      same((await t.store.stats(t.queue)).ready, 1, "tasks that were added");
      same(await t.store.schedules(t.queue), [schedule("a", 2_000)], "the schedule then");
      const id = t.task({ id: "next", delayMs: 50 });
      same(await fire(t, schedule("a", 2_000), 3_000, id), "fired", "the outcome of the next time");
      await t.expectState("next", "scheduled");
    },
  },
  {
    title: "changes nothing when the schedule is another one by now, or gone",
    check: async (t) => {
      await set(t, schedule("a", 1_000, "new"));
      const stale = [schedule("a", 1_000, "old"), schedule("a", 999, "new"), schedule("b", 1_000, "new")];
      for (const each of stale) same(await fire(t, each, 2_000, t.task()), "stale", "the outcome");
      same(await t.store.schedules(t.queue), [schedule("a", 1_000, "new")], "schedules");
      await t.store.removeSchedule(t.queue, "a");
      same(
        await fire(t, schedule("a", 1_000, "new"), 2_000, t.task()),
        "stale",
        "the outcome when it is gone",
      );
      same(await t.store.schedules(t.queue), [], "schedules then");
      same((await t.store.stats(t.queue)).ready, 0, "tasks that were added");
    },
  },
  {
    title: "changes nothing when the queue is full",
    check: async (t) => {
      await t.add();
      await set(t, schedule("a", 1_000));
      const task = t.task();
      same(await fire(t, schedule("a", 1_000), 2_000, task, 1), "full", "the outcome");
      same(await t.store.schedules(t.queue), [schedule("a", 1_000)], "schedules");
      same(await t.find(task.id), undefined, "the task");
      same(await fire(t, schedule("a", 1_000), 2_000, task, 2), "fired", "the outcome when there is room");
    },
  },
  {
    title: "moves on too when there is nothing to add: the task is there already, or one with its dedup key",
    check: async (t) => {
      await t.add({ id: "here", dedupKey: "k" });
      await set(t, schedule("a", 1_000));
      same(
        await fire(t, schedule("a", 1_000), 2_000, t.task({ id: "here" }), 1),
        "fired",
        "an ID that is taken",
      );
      same(await fire(t, schedule("a", 2_000), 3_000, t.task({ dedupKey: "k" })), "fired", "a taken key");
      same(await t.store.schedules(t.queue), [schedule("a", 3_000)], "schedules");
      same((await t.store.stats(t.queue)).ready, 1, "tasks that are there");
    },
  },
];
