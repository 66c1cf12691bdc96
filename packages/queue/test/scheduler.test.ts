import type { QueueStore } from "@holdfast/queue";
import { defineTask, handle, queue as makeQueue } from "@holdfast/queue";
import type { ScheduleFiredEvent, ScheduleOptions, SchedulerErrorEvent } from "@holdfast/queue/cron";
import { schedule, scheduler } from "@holdfast/queue/cron";
import { channel } from "@holdfast/core";
import type { ManualClock } from "@holdfast/core/testing";
import { leakCheck, manualClock } from "@holdfast/core/testing";
import { afterEach, describe, expect, it } from "vitest";
import { row } from "../../../tools/systems/row.mjs";
import { bench } from "./bench.ts";

const job = defineTask<string, string, string>({ name: "job", keepFor: "7d" });
const start = Date.UTC(2026, 10, 21);
const stops: (() => void)[] = [];

afterEach(() => {
  for (const stop of stops.splice(0)) stop();
});

function at(clock: ManualClock = manualClock(start), options: Parameters<typeof bench>[0] = {}) {
  return bench({ clock, ...options });
}

function minutely(options: Partial<ScheduleOptions<string>> = {}): ReturnType<typeof schedule> {
  return schedule({ key: "tick", every: "1m", task: job, input: "x", ...options } as ScheduleOptions<string>);
}

/** IDs of all tasks there are, without the date. */
async function ids(store: QueueStore): Promise<readonly string[]> {
  const states = ["scheduled", "ready", "running", "completed", "cancelled", "failed"] as const;
  const found = await Promise.all(states.map((state) => store.list("bench", state, 1_000)));
  return found
    .flat()
    .map(({ id }) => id.replace("2026-11-21T", ""))
    .toSorted((a, b) => (a < b ? -1 : 1));
}

function heard<Event>(name: string): Event[] {
  const events: Event[] = [];
  stops.push(channel<Event>("queue", name).subscribe((event) => events.push(event)));
  return events;
}

describe("a scheduler", () => {
  it("adds a task at each time, with an ID that names it and the input made for it", async () => {
    const { queue, clock, store } = at();
    await using _ = scheduler(queue, [minutely({ input: (time: Date) => time.toISOString() })]);
    await clock.advance("59s");
    expect(await ids(store)).toEqual([]);
    await clock.advance("121s");
    expect(await ids(store)).toEqual(["tick:00:01:00Z", "tick:00:02:00Z", "tick:00:03:00Z"]);
    const [claimed] = await store.claim("bench", { worker: "w", max: 1, leaseMs: 1_000 });
    expect(claimed?.input.text).toBe('"2026-11-21T00:01:00.000Z"');
  });

  it(row(21, "does so at its time by the wall clock of its zone"), async () => {
    const { queue, clock, store } = at();
    const nightly = { key: "nightly", cron: "0 3 * * *", timeZone: "Asia/Kolkata", task: job, input: "x" };
    await using _ = scheduler(queue, [schedule(nightly)]);
    await clock.advance("21h");
    expect(await ids(store)).toEqual([]);
    await clock.advance("30m");
    expect(await ids(store)).toEqual(["nightly:21:30:00Z"]);
  });

  it("hands tasks to workers with the options that were given", async () => {
    const { queue, clock, work } = at();
    const group = { key: "g", concurrency: 2 };
    await using _ = scheduler(queue, [minutely({ options: { priority: 7, group, tenant: "t" } })]);
    await using working = work([handle(job, ({ input }) => `${input}!`)]);
    await clock.advance("1m");
    expect(working.paused).toBe(false);
    expect(await queue.wait(job, "tick:2026-11-21T00:01:00Z")).toBe("x!");
    expect(await queue.status("tick:2026-11-21T00:01:00Z")).toMatchObject({
      priority: 7,
      group: "g",
      tenant: "t",
    });
  });

  it("shows what it knows, and what the store has", async () => {
    const { queue, clock } = at();
    await using working = scheduler(queue, [minutely()]);
    expect(working.snapshot()).toEqual([{ key: "tick", state: "setting", failures: 0 }]);
    await clock.advance("1s");
    expect(working.snapshot()).toEqual([
      { key: "tick", state: "active", nextAt: start + 60_000, failures: 0 },
    ]);
    expect(await queue.schedules()).toMatchObject([{ key: "tick", nextAt: start + 60_000 }]);
  });

  it("refuses two schedules of one key", () => {
    const { queue } = at();
    expect(() => scheduler(queue, [minutely(), minutely()])).toThrow(/schedules/);
  });
});

describe("times that were missed", () => {
  async function away(missed: ScheduleOptions<string>["missed"], minutes: number, options: object = {}) {
    const { queue, clock, store } = at();
    const entries = () => [minutely({ ...(missed === undefined ? {} : { missed }), ...options })];
    const before = scheduler(queue, entries());
    await clock.advance("1m");
    await before.close();
    await clock.advance(minutes * 60_000 + 5_000);
    const fired = heard<ScheduleFiredEvent>("schedule_fired");
    await using _ = scheduler(queue, entries());
    await clock.advance("1s");
    return { all: await ids(store), fired, store };
  }

  it("are made up for by the latest, unless it is said otherwise", async () => {
    const { all, fired } = await away(undefined, 10);
    expect(all).toEqual(["tick:00:01:00Z", "tick:00:11:00Z"]);
    expect(fired).toMatchObject([{ key: "tick", at: start + 660_000, lateMs: 5_010, outcome: "fired" }]);
  });

  it("are all made up for where that is wanted", async () => {
    const { all } = await away("all", 150);
    expect(all).toHaveLength(151);
    expect(new Set(all).size).toBe(151);
  });

  it("are skipped where that is wanted, which stays on record", async () => {
    const { fired, store } = await away("skip", 10, { grace: "1s" });
    expect(fired).toMatchObject([{ at: start + 660_000, outcome: "skipped" }]);
    expect(await store.get("bench", ["tick:2026-11-21T00:11:00Z"])).toMatchObject([
      { state: "cancelled", reason: "expired" },
    ]);
  });

  it("are not skipped while they are no later than allowed", async () => {
    const { all, fired } = await away("skip", 10, { grace: "10s" });
    expect(all).toEqual(["tick:00:01:00Z", "tick:00:11:00Z"]);
    expect(fired).toMatchObject([{ outcome: "fired" }]);
  });
});

describe("a schedule that is changed", () => {
  it("is so everywhere, also where the old release goes on", async () => {
    const { queue, clock, store } = at();
    await using old = scheduler(queue, [minutely()], { poll: "30s" });
    await clock.advance("1m");
    await using _ = scheduler(queue, [minutely({ every: "1h" } as never)]);
    await clock.advance("30s");
    expect(old.snapshot()).toMatchObject([{ state: "changed" }]);
    await clock.advance("2h");
    expect(await ids(store)).toEqual(["tick:00:01:00Z", "tick:01:00:00Z", "tick:02:00:00Z"]);
  });

  it("keeps its next time if only its input has changed: nothing is lost on the way", async () => {
    const { queue, clock, store } = at();
    const before = scheduler(queue, [minutely()]);
    await clock.advance("1m");
    await before.close();
    await clock.advance("3m");
    await using _ = scheduler(queue, [minutely({ input: "y" })]);
    await clock.advance("1s");
    expect(await ids(store)).toEqual(["tick:00:01:00Z", "tick:00:04:00Z"]);
  });

  it("comes back with the old release when the new one was taken back", async () => {
    const { queue, clock, store } = at();
    await using old = scheduler(queue, [minutely()]);
    await clock.advance("1m");
    const newer = scheduler(queue, [minutely({ input: "y" })]);
    await clock.advance("1m");
    await newer.close();
    await clock.advance("3m");
    expect(await ids(store)).toEqual(["tick:00:01:00Z", "tick:00:02:00Z"]);
    await clock.advance("5m");
    expect(old.snapshot()).toMatchObject([{ state: "active" }]);
    expect((await ids(store)).length).toBeGreaterThan(2);
  });

  it("is no more, everywhere, once it is taken away, until a scheduler begins that has it", async () => {
    const { queue, clock, store } = at();
    await using both = scheduler(queue, [minutely()]);
    await using other = scheduler(queue, [minutely()]);
    await clock.advance("1m");
    expect(await queue.unschedule("tick")).toBe(true);
    await clock.advance("10m");
    expect(await ids(store)).toEqual(["tick:00:01:00Z"]);
    expect([both, other].flatMap((one) => one.snapshot())).toMatchObject([
      { state: "removed" },
      { state: "removed" },
    ]);
    expect(await queue.unschedule("tick")).toBe(false);
    await using _ = scheduler(queue, [minutely()]);
    await clock.advance("1m");
    expect(await ids(store)).toHaveLength(2);
  });
});

describe("pitfall 7: schedulers duplicate under crash loops, or in the same second", () => {
  it("adds one task for each time, however many processes come and go in its second", async () => {
    const { queue, clock, store } = at();
    const fired = heard<ScheduleFiredEvent>("schedule_fired");
    for (let crash = 0; crash < 200; crash += 1) {
      const brief = scheduler(queue, [minutely()]);
      const other = scheduler(queue, [minutely()]);
      await clock.advance(Math.floor((180_000 * 1) / 200));
      await Promise.all([brief.close(), other.close()]);
    }
    expect(await ids(store)).toEqual(["tick:00:01:00Z", "tick:00:02:00Z", "tick:00:03:00Z"]);
    expect(fired).toHaveLength(3);
  });

  it("adds one task for each time, also when its reply is lost and somebody begins again", async () => {
    const { clock, store } = at();
    const lossy = new Proxy(store, {
      get: (target, verb: keyof QueueStore) => {
        const method = target[verb];
        if (verb !== "fire") return typeof method === "function" ? method.bind(target) : method;
        return async (...args: Parameters<QueueStore["fire"]>) => {
          await target.fire(...args);
          throw new Error("the reply was lost");
        };
      },
    });
    const errors = heard<SchedulerErrorEvent>("scheduler_error");
    await using _ = scheduler(makeQueue({ name: "bench", store: lossy, clock }), [minutely()]);
    await clock.advance("230s");
    expect(await ids(store)).toEqual(["tick:00:01:00Z", "tick:00:02:00Z", "tick:00:03:00Z"]);
    expect((await store.meter("bench")).added).toBe(3);
    expect(errors[0]).toMatchObject({ doing: "fire", key: "tick", queue: "bench" });
  });

  it("adds one task for each time to processes whose clocks do not agree", async () => {
    const { queue, clock, store } = at();
    const ahead = {
      ...clock,
      now: () => clock.now() + 20_000,
      monotonic: () => clock.monotonic(),
      sleep: clock.sleep.bind(clock),
      setTimer: clock.setTimer.bind(clock),
    };
    const behind = { ...ahead, now: () => clock.now() - 20_000 };
    const working = [ahead, behind, clock].map((one) => scheduler(queue, [minutely()], { clock: one }));
    await clock.advance("3m");
    await Promise.all(working.map((one) => one.close()));
    expect(await ids(store)).toEqual(["tick:00:01:00Z", "tick:00:02:00Z", "tick:00:03:00Z"]);
    expect((await store.meter("bench")).added).toBe(3);
  });
});

describe("pitfall 8: a dedup key kills a schedule", () => {
  it("goes on when a task with its dedup key is live, and adds one again once that has ended", async () => {
    const { queue, clock, store } = at();
    await using working = scheduler(queue, [minutely({ options: { dedupKey: "only" } })]);
    await clock.advance("5m");
    expect(await ids(store)).toEqual(["tick:00:01:00Z"]);
    expect(working.snapshot()).toMatchObject([{ state: "active", nextAt: start + 360_000, failures: 0 }]);
    await queue.cancel("tick:2026-11-21T00:01:00Z");
    await clock.advance("1m");
    expect(await ids(store)).toEqual(["tick:00:01:00Z", "tick:00:06:00Z"]);
  });
});

describe("when something fails", () => {
  it("goes on and tries again when the store is away, and reports it", async () => {
    const { queue, clock, store } = at();
    let down = true;
    const { schedules } = store;
    (store as { schedules: QueueStore["schedules"] }).schedules = (name) =>
      down ? Promise.reject(new Error("down")) : schedules.call(store, name);
    const errors = heard<SchedulerErrorEvent>("scheduler_error");
    await using _ = scheduler(queue, [minutely()]);
    await clock.advance("10m");
    expect(errors.length).toBeGreaterThan(3);
    expect(errors.length).toBeLessThan(60);
    expect(errors[0]).toMatchObject({ doing: "read", error: { message: "down" } });
    down = false;
    await clock.advance("3m");
    expect((await ids(store)).length).toBeGreaterThan(0);
  });

  it("goes on when a call is never answered", async () => {
    const { queue, clock, store } = at();
    const { fire } = store;
    let hangs = true;
    (store as { fire: QueueStore["fire"] }).fire = (...args) =>
      hangs ? new Promise(() => {}) : fire.apply(store, args);
    const errors = heard<SchedulerErrorEvent>("scheduler_error");
    await using _ = scheduler(queue, [minutely()]);
    await clock.advance("90s");
    hangs = false;
    expect(errors[0]).toMatchObject({ doing: "fire", error: { code: "TIMEOUT" } });
    await clock.advance("2m");
    expect((await ids(store)).length).toBeGreaterThan(0);
  });

  it("lets the others go on when one input cannot be made", async () => {
    const { queue, clock, store } = at();
    const errors = heard<SchedulerErrorEvent>("scheduler_error");
    const broken = minutely({
      key: "broken",
      input: () => {
        throw new RangeError("no");
      },
    });
    const stuck = minutely({ key: "stuck", input: () => new Promise<string>(() => {}) });
    const working = scheduler(queue, [broken, stuck, minutely()]);
    await clock.advance("170s");
    expect(await ids(store)).toEqual(["tick:00:01:00Z", "tick:00:02:00Z"]);
    const closing = working.close();
    await clock.advance("10s");
    await closing;
    expect(new Set(errors.map(({ key }) => key))).toEqual(new Set(["broken", "stuck"]));
  });

  it("waits until a full queue has room, and then makes up for what was missed", async () => {
    const { queue, clock, store } = at(manualClock(start), { limit: 1 });
    const fired = heard<ScheduleFiredEvent>("schedule_fired");
    const { id } = await queue.enqueue(job, "first", { id: "first" });
    await using _ = scheduler(queue, [minutely()]);
    await clock.advance("150s");
    expect(fired.every(({ outcome }) => outcome === "full")).toBe(true);
    await queue.cancel(id);
    await clock.advance("30s");
    expect(await ids(store)).toEqual(["first", expect.stringMatching(/^tick:00:0[23]:00Z$/)]);
  });

  it("says when the queue has no room for its schedule", async () => {
    const { queue, clock, store } = at();
    for (let n = 0; n < 1_000; n += 1)
      await store.setSchedule("bench", { key: `k${n}`, text: "", nextAt: 0 });
    const errors = heard<SchedulerErrorEvent>("scheduler_error");
    await using _ = scheduler(queue, [minutely()]);
    await clock.advance("1s");
    expect(errors[0]).toMatchObject({ doing: "set", error: { code: "TOO_MANY_SCHEDULES" } });
  });
});

describe("close", () => {
  it("settles within its time although the store does not answer, and leaves no timer behind", async () => {
    const { queue, clock, store } = at();
    (store as { schedules: QueueStore["schedules"] }).schedules = () => new Promise(() => {});
    const leaks = leakCheck({ clocks: [clock] });
    const working = scheduler(queue, [minutely()]);
    let closed = false;
    const closing = working.close({ within: "2s" }).then(() => (closed = true));
    await clock.advance("1s");
    expect(closed).toBe(false);
    await clock.advance("1s");
    await closing;
    await clock.advance("10s");
    leaks.assertNone();
  });

  it("settles at once when nothing is on its way, twice too", async () => {
    const { queue, clock, store } = at();
    const leaks = leakCheck({ clocks: [clock] });
    const working = scheduler(queue, [minutely()]);
    await clock.advance("1s");
    await Promise.all([working.close(), working.close()]);
    await clock.advance("10m");
    expect(await ids(store)).toEqual([]);
    await store.close();
    leaks.assertNone();
  });
});
