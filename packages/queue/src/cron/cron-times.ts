// When a schedule is next: by a cron expression in a time zone, or every so often.
import { optionsOf } from "@holdfast/core";
import { Cron } from "croner";

/** The times of a schedule, in whole seconds; milliseconds since the epoch. */
export interface Times {
  /** The first one after `after`. */
  next(after: number): number;
}

const SECOND_MS = 1_000;
const DAY_MS = 86_400_000;
/** No clock is put back by more. */
const REPEAT_MS = 3 * 3_600_000;

/**
 * The times of a cron expression: five fields, or six with seconds in front. What falls into an hour that does not exist
 * (clocks go forward) comes right behind it. In an hour that comes twice (clocks go back) an expression is heard the
 * first time; one whose hour is `*` goes on evenly through both.
 *
 * The expression is asked about what a clock on the wall shows, and that is turned into time here: asked about a time
 * zone, the parser goes back in time where clocks do.
 *
 * @throws InvalidOptionError for what is no expression, no time zone, or never.
 */
export function cronTimes(cron: string, timeZone: string): Times {
  const check = optionsOf("schedule");
  const fields = check.string("cron", cron, 200).trim().split(/\s+/);
  const zone = zoneOf(timeZone);
  const parsed = parse(cron);
  const nextOnWall = (wall: number): number => parsed.nextRun(new Date(wall))?.getTime() ?? NEVER;
  if (nextOnWall(0) === NEVER) return check.refuse("cron", cron, "an expression that comes true some day");
  const isHourly = fields.at(-4) === "*";
  return {
    next: (after) => {
      let wall = after + zone.offsetAt(after);
      if (isHourly) wall = zone.again(after, nextOnWall(wall)) ?? wall;
      for (;;) {
        wall = nextOnWall(wall);
        if (wall === NEVER) return NEVER;
        const at = zone.timesOf(wall, isHourly).find((time) => time > after);
        if (at !== undefined) return at;
      }
    },
  };
}

/** Every so often, counted from the epoch: the same times in every process. */
export function everyTimes(everyMs: number): Times {
  return { next: (after) => (Math.floor(after / everyMs) + 1) * everyMs };
}

/** The latest time from `first`, which is one, up to `now`; found without going through all of them. */
export function latestTime(times: Times, first: number, now: number): number {
  for (const back of [60 * SECOND_MS, 3_600 * SECOND_MS, DAY_MS, 31 * DAY_MS, 366 * DAY_MS]) {
    const from = now - back;
    let latest = from <= first ? first : times.next(from - 1);
    if (latest > now) continue;
    for (let later = times.next(latest); later <= now; later = times.next(later)) latest = later;
    return latest;
  }
  return first;
}

/** Behind the year 9999. */
const NEVER = Number.MAX_SAFE_INTEGER;

/** What the clocks of a zone show. Times on the wall are milliseconds as if they were UTC. */
interface Zone {
  /** By how much the wall is ahead of UTC. */
  readonly offsetAt: (at: number) => number;
  /** When the wall shows this: once, twice (where the first alone counts unless `both`), or it jumps over it. */
  readonly timesOf: (wall: number, both: boolean) => readonly number[];
  /** Where the wall goes back to, if it does so between `after` and the time it shows `wall`. */
  readonly again: (after: number, wall: number) => number | undefined;
}

function zoneOf(timeZone: string): Zone {
  const offsetAt = offsetReader(timeZone);
  const changeBetween = (from: number, to: number): number => {
    const before = offsetAt(from);
    let [low, high] = [Math.floor(from / SECOND_MS), Math.ceil(to / SECOND_MS)];
    while (high - low > 1) {
      const middle = Math.floor((low + high) / 2);
      if (offsetAt(middle * SECOND_MS) === before) low = middle;
      else high = middle;
    }
    return high * SECOND_MS;
  };
  return {
    offsetAt,
    timesOf: (wall, both) => {
      const before = offsetAt(wall - DAY_MS);
      const later = offsetAt(wall + DAY_MS);
      const times = [...new Set([before, later])]
        .map((offset) => wall - offset)
        .filter((at) => at + offsetAt(at) === wall);
      if (times.length > 0) return both ? times : times.slice(0, 1);
      return both ? [] : [changeBetween(wall - DAY_MS, wall + DAY_MS)];
    },
    again: (after, wall) => {
      const offset = offsetAt(after);
      if (offsetAt(after + REPEAT_MS) >= offset) return undefined;
      const change = changeBetween(after, after + REPEAT_MS);
      // Just before, so that the moment itself counts.
      return wall - offset < change ? undefined : change + offsetAt(change) - 1;
    },
  };
}

function parse(cron: string): Cron {
  try {
    // An offset, not a zone: asked without `Intl`, the parser answers in microseconds rather than in 250 of them.
    return new Cron(cron, { utcOffset: 0, paused: true, mode: "5-or-6-parts" });
  } catch (error) {
    const why = error instanceof Error ? `: ${error.message}` : "";
    return optionsOf("schedule").refuse("cron", cron, `a cron expression of five or six fields${why}`);
  }
}

/** Tells by how many milliseconds local time is ahead of UTC. */
function offsetReader(timeZone: string): (at: number) => number {
  const format = formatOf(timeZone);
  return (at) => {
    const local: Record<string, number> = {};
    for (const { type, value } of format.formatToParts(at)) local[type] = Number(value);
    const { year, month, day, hour, minute, second } = local;
    const shown = Date.UTC(year!, month! - 1, day, hour, minute, second);
    return shown - Math.floor(at / SECOND_MS) * SECOND_MS;
  };
}

function formatOf(timeZone: string): Intl.DateTimeFormat {
  const number = "numeric";
  const fields = {
    year: number,
    month: number,
    day: number,
    hour: number,
    minute: number,
    second: number,
  } as const;
  try {
    return new Intl.DateTimeFormat("en-US", { timeZone, hourCycle: "h23", calendar: "gregory", ...fields });
  } catch {
    return optionsOf("schedule").refuse("timeZone", timeZone, 'a time zone such as "Asia/Kolkata"');
  }
}
