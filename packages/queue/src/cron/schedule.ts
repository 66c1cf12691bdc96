// A task that is to be added by itself, again and again.
import type { Duration } from "@holdfast/core";
import { optionsOf } from "@holdfast/core";
import type {
  EnqueueCallOptions,
  EnqueuedTask,
  EnqueueItem,
  EnqueueOptions,
} from "../queue/enqueue-options.ts";
import type { Times } from "./cron-times.ts";
import { cronTimes, everyTimes } from "./cron-times.ts";

type Maker<Input> = (at: Date) => Input | Promise<Input>;

/** What becomes of times that passed while nobody was there to add their tasks. */
export type Missed = "latest" | "all" | "skip";

/** When. */
export type ScheduleTimes =
  | {
      /** Five fields, or six with seconds in front: `"0 3 * * *"`. */
      readonly cron: string;
      /** As the IANA names it. @defaultValue "UTC" */
      readonly timeZone?: string;
    }
  /** Counted from the epoch, so that all processes agree. From 1 s, in whole seconds. */
  | { readonly every: Duration };

export type ScheduleOptions<Input> = ScheduleTimes & {
  /** Unique in the queue. Letters, digits, dots, colons, hyphens, underscores; at most 75. */
  readonly key: string;
  readonly task: EnqueuedTask<Input>;
  /** The same each time, or made from the time that it is for. */
  readonly input: Input | Maker<Input>;
  /**
   * `"latest"`: of those that were missed, the latest is made up for. `"all"`: each is. `"skip"`: none is that is older
   * than {@link grace}; its task is there, cancelled as `"expired"`. @defaultValue "latest"
   */
  readonly missed?: Missed;
  /** How late a time may be made up for, if the others are skipped. @defaultValue "1m" */
  readonly grace?: Duration;
  /** As for any other task. A `dedupKey` keeps two from being live at a time: the second is left out. */
  readonly options?: Omit<EnqueueOptions, keyof EnqueueCallOptions | "id" | "delay">;
};

/** A schedule that was checked. Made by {@link schedule}, which ties task and input together. */
export interface ScheduleEntry {
  readonly key: string;
  readonly task: EnqueuedTask<never>;
  readonly times: Times;
  /** What the store keeps: schedules of one text are one and the same. It holds a digest of the input. */
  readonly text: string;
  readonly missed: Missed;
  readonly graceMs: number;
  /** What its task is to be. */
  readonly itemAt: (at: number) => Promise<EnqueueItem<never>>;
}

/**
 * Says when a task is to be added by itself.
 *
 * @throws InvalidOptionError when an option is out of range, or the expression never comes true.
 *
 * @example
 * ```ts
 * import { defineTask } from "@holdfast/queue";
 * import { schedule } from "@holdfast/queue/cron";
 *
 * const report = defineTask<{ day: string }, { day: string }, void>({ name: "report" });
 * const nightly = schedule({
 *   key: "nightly",
 *   cron: "0 3 * * *",
 *   timeZone: "Asia/Kolkata",
 *   task: report,
 *   input: (at) => ({ day: at.toISOString().slice(0, 10) }),
 * });
 * new Date(nightly.times.next(Date.UTC(2026, 10, 21))).toISOString(); // => "2026-11-21T21:30:00.000Z"
 * ```
 */
export function schedule<Input>(options: ScheduleOptions<Input>): ScheduleEntry {
  const check = optionsOf("schedule");
  const key = check.string("key", options.key, 75);
  if (!/^[\w.:-]+$/.test(key))
    check.refuse("key", key, "letters, digits, dots, colons, hyphens and underscores");
  const task = check.object("task", options.task);
  const { input } = options;
  const { when, times } = timesOf(options);
  const missed = check.oneOf("missed", options.missed, ["latest", "all", "skip"], "latest");
  const graceMs = check.duration("grace", options.grace, {}, 60_000);
  const itemAt = async (at: number): Promise<EnqueueItem<Input>> => {
    const made = typeof input === "function" ? await (input as Maker<Input>)(new Date(at)) : input;
    return { ...options.options, id: taskIdAt(key, at), input: made };
  };
  const fixed = [
    typeof input === "function" ? "made" : input,
    options.options,
    missed,
    graceMs,
    task.version,
  ];
  return {
    key,
    task,
    times,
    text: JSON.stringify({ when, task: task.name, says: digestOf(fixed) }),
    missed,
    graceMs,
    itemAt: itemAt as ScheduleEntry["itemAt"],
  };
}

/** When a schedule is due, by the text that the store keeps of it: those of the same words have the same times. */
export function whenOf(text: string): unknown {
  try {
    return (JSON.parse(text) as { readonly when?: unknown } | null)?.when;
  } catch {
    return undefined;
  }
}

/** The ID of the task of one time: the same in whichever process, so that the store knows it again. */
export function taskIdAt(key: string, at: number): string {
  return `${key}:${new Date(at).toISOString().replace(".000", "")}`;
}

function timesOf(options: ScheduleTimes): { readonly when: string; readonly times: Times } {
  const check = optionsOf("schedule");
  const { cron, timeZone, every } = options as { cron?: string; timeZone?: string; every?: Duration };
  if ((cron === undefined) === (every === undefined)) check.refuse("cron", cron, "given, or else every");
  if (cron !== undefined) {
    const zone = check.string("timeZone", timeZone, 100, "UTC");
    return { when: `${cron} ${zone}`, times: cronTimes(cron, zone) };
  }
  if (timeZone !== undefined) check.refuse("timeZone", timeZone, "given with cron");
  const everyMs = check.duration("every", every, { min: 1_000 });
  if (everyMs % 1_000 !== 0) check.refuse("every", every, "whole seconds");
  return { when: `every ${everyMs}`, times: everyTimes(everyMs) };
}

/** 64 bits, FNV-1a twice: tells two values apart, and does not show them. */
function digestOf(value: unknown): string {
  let text: string;
  try {
    text = JSON.stringify(value);
  } catch {
    // What cannot be written will be refused when its task is to be added.
    return "";
  }
  return [0x811c9dc5, 0x01000193].map((seed) => fnv1a(text, seed).toString(16)).join("-");
}

function fnv1a(text: string, seed: number): number {
  let hash = seed;
  for (let at = 0; at < text.length; at += 1) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  return hash >>> 0;
}
