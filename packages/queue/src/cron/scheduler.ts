// Adds tasks by themselves at their times, in as many processes as you like and once.
import type { Clock, Duration } from "@holdfast/core";
import { asError, channel, exponential, optionsOf, systemClock, systemRandom } from "@holdfast/core";
import type { Random } from "@holdfast/core";
import type { EnqueueItem } from "../queue/enqueue-options.ts";
import type { Queue } from "../queue/queue-contract.ts";
import { answered } from "../store/store-deadline.ts";
import type { Schedule } from "../store/store.ts";
import { latestTime } from "./cron-times.ts";
import { TooManySchedulesError } from "./errors.ts";
import type { ScheduleEntry } from "./schedule.ts";
import { whenOf } from "./schedule.ts";

export interface SchedulerOptions {
  /**
   * How long until a schedule that was changed or taken away elsewhere is noticed, if none is due before.
   * @defaultValue "1m"
   */
  readonly poll?: Duration;
  /** How long a call to the store may take. @defaultValue "10s" */
  readonly deadline?: Duration;
  /** @defaultValue the queue's */
  readonly clock?: Clock;
  /** @defaultValue systemRandom */
  readonly random?: Random;
}

/** What a scheduler knows of a schedule. */
export interface ScheduleSnapshot {
  readonly key: string;
  /**
   * `setting`: the store has not taken it yet. `removed`: it was taken away. `changed`: another one has its key, of a
   * newer or older release.
   */
  readonly state: "setting" | "active" | "removed" | "changed";
  /** Milliseconds since the epoch; absent while it is not known. */
  readonly nextAt?: number;
  /** Calls that failed since one did not. */
  readonly failures: number;
}

/** A scheduler at work. */
export interface Scheduler extends AsyncDisposable {
  snapshot(): readonly ScheduleSnapshot[];
  /** Adds no more, and waits up to `within` (default 10 s) for what is on its way. The schedules stay. */
  close(options?: { readonly within?: Duration }): Promise<void>;
}

/** Published as `holdfast:queue:schedule_fired` when a scheduler has dealt with a time of a schedule. */
export interface ScheduleFiredEvent {
  readonly queue: string;
  readonly key: string;
  readonly task: string;
  /** The time it is for, in milliseconds since the epoch. */
  readonly at: number;
  /** How late it was, in milliseconds. */
  readonly lateMs: number;
  /** `full`: the queue was; it is tried again. */
  readonly outcome: "fired" | "skipped" | "full";
}

/** Published as `holdfast:queue:scheduler_error` when something fails a scheduler, which goes on and tries again. */
export interface SchedulerErrorEvent {
  readonly queue: string;
  readonly doing: "set" | "read" | "fire";
  /** Of the schedule; absent for `read`. */
  readonly key?: string;
  readonly error: Error;
}

const scheduleFired = /* @__PURE__ */ channel<ScheduleFiredEvent>("queue", "schedule_fired");
const schedulerFailed = /* @__PURE__ */ channel<SchedulerErrorEvent>("queue", "scheduler_error");

/** Missed times of one schedule that are made up for before the others have their turn. */
const MAX_IN_A_ROW = 100;
const MAX_SCHEDULES = 1_000;
/** Schedules that are seen to at a time. */
const AT_A_TIME = 50;
/** How late a schedule of another release is when it is taken to be nobody's, in milliseconds. */
const ORPHANED_MS = 300_000;
/** The shortest wait between two looks, in milliseconds. */
const SHORTEST_MS = 10;

/**
 * Keeps schedules in the queue's store and adds their tasks when it is time. Any number of processes may run the same
 * ones: for each time one task is added, whose ID is `<key>:<time>`, and the schedule moved on, in one step. A schedule
 * goes on where it was when all of them were away.
 *
 * Times are judged by the wall clock of these processes: one that is ahead adds tasks that much early.
 *
 * @throws InvalidOptionError when an option is out of range or two schedules have one key.
 *
 * @example
 * ```ts
 * import { defineTask, handle, memoryStore, queue, worker } from "@holdfast/queue";
 * import { schedule, scheduler } from "@holdfast/queue/cron";
 *
 * const tick = defineTask<string, string, string>({ name: "tick" });
 * const jobs = queue({ name: "jobs", store: memoryStore() });
 * await using clockwork = scheduler(jobs, [schedule({ key: "tick", every: "5m", task: tick, input: "now" })]);
 * clockwork.snapshot().map(({ key, state }) => [key, state]); // => [["tick", "setting"]]
 * ```
 */
export function scheduler(
  queue: Queue,
  schedules: readonly ScheduleEntry[],
  options: SchedulerOptions = {},
): Scheduler {
  return new StoredScheduler(queue, schedules, options);
}

/** A schedule, and how it is with it here. */
interface Kept {
  readonly entry: ScheduleEntry;
  state: ScheduleSnapshot["state"];
  nextAt: number | undefined;
  failures: number;
  /** On the monotonic clock: not to be tried before. */
  notBefore: number;
}

class StoredScheduler implements Scheduler {
  readonly #kept: readonly Kept[];
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #pollMs: number;
  readonly #deadlineMs: number;
  readonly #backoff = exponential({ base: 1_000, cap: 30_000, jitter: "equal" });
  readonly #stop = new AbortController();
  readonly #ended: Promise<void>;

  constructor(
    private readonly queue: Queue,
    schedules: readonly ScheduleEntry[],
    options: SchedulerOptions,
  ) {
    const check = optionsOf("scheduler");
    if (!Array.isArray(schedules) || schedules.length > MAX_SCHEDULES)
      check.refuse("schedules", schedules, `a list of at most ${MAX_SCHEDULES}`);
    if (new Set(schedules.map(({ key }) => key)).size < schedules.length)
      check.refuse("schedules", schedules, "a list in which each key is there once");
    this.#clock = options.clock ?? queue.clock ?? systemClock;
    this.#random = check.function("random", options.random) ?? systemRandom;
    this.#pollMs = check.duration("poll", options.poll, { min: 100 }, 60_000);
    this.#deadlineMs = check.duration("deadline", options.deadline, { min: 1 }, 10_000);
    this.#kept = schedules.map((entry) => ({
      entry,
      state: "setting",
      nextAt: undefined,
      failures: 0,
      notBefore: 0,
    }));
    this.#ended = this.#run();
  }

  snapshot(): readonly ScheduleSnapshot[] {
    return this.#kept.map(({ entry: { key }, state, nextAt, failures }) =>
      nextAt === undefined ? { key, state, failures } : { key, state, nextAt, failures },
    );
  }

  async close(options: { readonly within?: Duration } = {}): Promise<void> {
    const within = optionsOf("close").duration("within", options.within, {}, 10_000);
    this.#stop.abort();
    const enough = new AbortController();
    const timeUp = this.#clock.sleep(within, enough.signal, { keepAlive: true }).catch(() => {});
    await Promise.race([this.#ended, timeUp]);
    enough.abort();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  get #isStopped(): boolean {
    return this.#stop.signal.aborted;
  }

  async #run(): Promise<void> {
    for (let failures = 0; !this.#isStopped;) {
      let waitMs: number;
      try {
        const stored = await this.#answered(this.queue.schedules());
        failures = 0;
        waitMs = await this.#round(new Map(stored.map((schedule) => [schedule.key, schedule])));
      } catch (error) {
        this.#failed({ doing: "read", error: asError(error) });
        waitMs = this.#backoff.next((failures += 1), 0, this.#random).delayMs;
      }
      await this.#clock.sleep(Math.max(SHORTEST_MS, waitMs), this.#stop.signal).catch(() => {});
    }
  }

  /** Sees to each schedule. How long until the next one is due, in milliseconds. */
  async #round(stored: ReadonlyMap<string, Schedule>): Promise<number> {
    for (let at = 0; at < this.#kept.length && !this.#isStopped; at += AT_A_TIME) {
      const some = this.#kept.slice(at, at + AT_A_TIME);
      await Promise.all(some.map((kept) => this.#turn(kept, stored.get(kept.entry.key))));
    }
    const waits = this.#kept.map((kept) => this.#waitOf(kept));
    return Math.min(this.#pollMs, ...waits);
  }

  /** Never rejects: what fails one schedule is not to hold up the others. */
  async #turn(kept: Kept, found: Schedule | undefined): Promise<void> {
    if (kept.notBefore > this.#clock.monotonic()) return;
    const doing = kept.state === "setting" ? "set" : "fire";
    try {
      await (doing === "set" ? this.#set(kept, found) : this.#see(kept, found));
    } catch (error) {
      this.#failed({ doing, key: kept.entry.key, error: asError(error) });
      this.#backOff(kept);
    }
  }

  #waitOf({ state, nextAt, notBefore }: Kept): number {
    const held = notBefore - this.#clock.monotonic();
    if (state === "setting") return held;
    if (state !== "active" || nextAt === undefined) return Infinity;
    return Math.max(held, nextAt - this.#clock.now());
  }

  /** When it begins. One that is there already keeps its next time, if it has the same times. */
  async #set(kept: Kept, found: Schedule | undefined): Promise<void> {
    const { entry } = kept;
    const { text } = entry;
    const { store, name } = this.queue;
    const isSame = found !== undefined && whenOf(found.text) === whenOf(text);
    const nextAt = isSame ? found.nextAt : entry.times.next(this.#clock.now());
    if (found?.text !== text) {
      const isThere = await this.#answered(store.setSchedule(name, { key: entry.key, text, nextAt }));
      if (!isThere) throw new TooManySchedulesError(name, entry.key);
    }
    kept.state = "active";
    kept.nextAt = nextAt;
    kept.failures = 0;
  }

  async #see(kept: Kept, found: Schedule | undefined): Promise<void> {
    kept.state = found === undefined ? "removed" : found.text === kept.entry.text ? "active" : "changed";
    kept.nextAt = found?.nextAt;
    if (found === undefined) return;
    if (kept.state === "changed") {
      // Nobody fires it: whoever knew that one is gone, as after a release that was taken back.
      if (this.#clock.now() - found.nextAt > ORPHANED_MS) await this.#set(kept, found);
      return;
    }
    let due: Schedule | undefined = found;
    for (let fired = 0; due !== undefined && fired < MAX_IN_A_ROW && !this.#isStopped; fired += 1) {
      if (due.nextAt > this.#clock.now()) break;
      due = await this.#fire(kept, due);
    }
    kept.failures = due === undefined ? kept.failures : 0;
  }

  /** The schedule as it is after its task was added; `undefined` when there is nothing more to be done now. */
  async #fire(kept: Kept, due: Schedule): Promise<Schedule | undefined> {
    const { entry } = kept;
    const now = this.#clock.now();
    const at = entry.missed === "all" ? due.nextAt : latestTime(entry.times, due.nextAt, now);
    const nextAt = entry.times.next(entry.missed === "all" ? at : now);
    const isLate = entry.missed === "skip" && now - at > entry.graceMs;
    const item = await this.#answered(entry.itemAt(at));
    const outcome = await this.#answered(
      this.queue.fire(entry.task, isLate ? skipped(item) : item, due, nextAt),
    );
    if (outcome === "stale") {
      // Somebody else has. How it is by now, the next round will tell.
      kept.nextAt = nextAt;
      return undefined;
    }
    if (scheduleFired.hasSubscribers)
      scheduleFired.publish({
        queue: this.queue.name,
        key: entry.key,
        task: entry.task.name,
        at,
        lateMs: Math.max(0, now - at),
        outcome: outcome === "fired" && isLate ? "skipped" : outcome,
      });
    if (outcome === "full") {
      this.#backOff(kept);
      return undefined;
    }
    kept.nextAt = nextAt;
    return { ...due, nextAt };
  }

  #backOff(kept: Kept): void {
    kept.failures += 1;
    const { delayMs } = this.#backoff.next(kept.failures, 0, this.#random);
    kept.notBefore = this.#clock.monotonic() + delayMs;
  }

  #failed(event: Omit<SchedulerErrorEvent, "queue">): void {
    if (!this.#isStopped && schedulerFailed.hasSubscribers)
      schedulerFailed.publish({ queue: this.queue.name, ...event });
  }

  #answered<T>(call: Promise<T>): Promise<T> {
    return answered(call, this.#deadlineMs, this.#clock);
  }
}

/** A task that has expired before it can start: what was skipped stays on record. */
function skipped(item: EnqueueItem<never>): EnqueueItem<never> {
  return { ...item, delay: 1, expiresIn: 0 };
}
