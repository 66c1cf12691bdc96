import { defineTask } from "@holdfast/queue";
import { schedule } from "@holdfast/queue/cron";
import fc from "fast-check";
import { describe, expect, it } from "vitest";

const job = defineTask<number, number, number>({ name: "job" });

function timesOf(cron: string, timeZone?: string): (after: number) => number {
  const zone = timeZone === undefined ? {} : { timeZone };
  return schedule({ key: "k", cron, ...zone, task: job, input: 1 }).times.next;
}

/** The first `count` times from `from`, as the zone's clocks show them, with UTC behind. */
function shown(cron: string, timeZone: string, from: string, count: number): readonly string[] {
  const next = timesOf(cron, timeZone);
  const all = [];
  for (let at = next(Date.parse(from)); all.length < count; at = next(at)) {
    const utc = new Date(at).toISOString().slice(11, 16);
    all.push(`${new Date(at).toLocaleString("sv", { timeZone }).slice(5, 16)} (${utc})`);
  }
  return all;
}

describe("a cron expression", () => {
  it("is read in UTC unless a time zone is given", () => {
    expect(new Date(timesOf("0 3 * * *")(0)).toISOString()).toBe("1970-01-01T03:00:00.000Z");
    expect(shown("0 3 * * *", "Asia/Kolkata", "2026-11-21T00:00:00Z", 2)).toEqual([
      "11-22 03:00 (21:30)",
      "11-23 03:00 (21:30)",
    ]);
  });

  it("has seconds in front if it has six fields", () => {
    expect(timesOf("*/15 * * * * *")(1_000)).toBe(15_000);
  });

  it("is next after a time, never at it", () => {
    const next = timesOf("* * * * *");
    expect([next(0), next(59_999), next(60_000)]).toEqual([60_000, 60_000, 120_000]);
  });

  it.each(["", "* * * *", "0 99 * * *", "0 0 31 2 *", "* * * * * * 2030", "soon"])(
    "is refused as %j",
    (cron) => {
      expect(() => timesOf(cron)).toThrow(/cron/);
    },
  );

  it("is refused with a time zone that is none", () => {
    expect(() => timesOf("* * * * *", "Mars/Olympus")).toThrow(/timeZone/);
  });
});

describe("when clocks go forward", () => {
  it("what falls into the hour that is not there comes behind it, once", () => {
    expect(shown("30 2 * * *", "Europe/Berlin", "2026-03-28T00:00:00Z", 3)).toEqual([
      "03-28 02:30 (01:30)",
      "03-29 03:00 (01:00)",
      "03-30 02:30 (00:30)",
    ]);
    // Midnight itself is not there.
    expect(shown("0 0 * * *", "America/Sao_Paulo", "2018-11-03T12:00:00Z", 2)).toEqual([
      "11-04 01:00 (03:00)",
      "11-05 00:00 (02:00)",
    ]);
  });

  it("what comes behind it as well comes once", () => {
    expect(shown("0,30 2,3 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", 4)).toEqual([
      "03-29 03:00 (01:00)",
      "03-29 03:30 (01:30)",
      "03-30 02:00 (00:00)",
      "03-30 02:30 (00:30)",
    ]);
  });

  it("what falls into a day that is not there comes at the beginning of the next", () => {
    expect(shown("0 9 * * *", "Pacific/Apia", "2011-12-29T00:00:00Z", 3)).toEqual([
      "12-29 09:00 (19:00)",
      "12-31 00:00 (10:00)",
      "12-31 09:00 (19:00)",
    ]);
  });

  it("what comes every half hour comes every half hour", () => {
    expect(shown("*/30 * * * *", "Europe/Berlin", "2026-03-29T00:15:00Z", 3)).toEqual([
      "03-29 01:30 (00:30)",
      "03-29 03:00 (01:00)",
      "03-29 03:30 (01:30)",
    ]);
  });
});

describe("when clocks go back", () => {
  it("what has its hour comes once, the first time", () => {
    expect(shown("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", 2)).toEqual([
      "10-25 02:30 (00:30)",
      "10-26 02:30 (01:30)",
    ]);
    expect(shown("30 1 * * *", "America/New_York", "2026-10-31T12:00:00Z", 2)).toEqual([
      "11-01 01:30 (05:30)",
      "11-02 01:30 (06:30)",
    ]);
  });

  it("what comes every half hour goes on through both", () => {
    expect(shown("*/30 * * * *", "Europe/Berlin", "2026-10-24T23:45:00Z", 6)).toEqual([
      "10-25 02:00 (00:00)",
      "10-25 02:30 (00:30)",
      "10-25 02:00 (01:00)",
      "10-25 02:30 (01:30)",
      "10-25 03:00 (02:00)",
      "10-25 03:30 (02:30)",
    ]);
  });

  it("goes back by half an hour where it does", () => {
    expect(shown("*/15 * * * *", "Australia/Lord_Howe", "2026-04-04T14:20:00Z", 5)).toEqual([
      "04-05 01:30 (14:30)",
      "04-05 01:45 (14:45)",
      "04-05 01:30 (15:00)",
      "04-05 01:45 (15:15)",
      "04-05 02:00 (15:30)",
    ]);
  });
});

describe("the times of a schedule", () => {
  const zones = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Asia/Kolkata",
    "Australia/Lord_Howe",
    "Africa/Casablanca",
  ];
  const crons = ["*/7 * * * *", "30 2 * * *", "0 0 1 * *", "15 */6 * * 1-5", "0 0 29 2 *", "59 23 31 12 *"];

  it("only ever go on, and do not depend on where one begins to look", () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...crons),
        fc.constantFrom(...zones),
        fc.integer({ min: Date.UTC(2015, 0), max: Date.UTC(2035, 0) }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (cron, timeZone, after, part) => {
          const next = timesOf(cron, timeZone);
          const at = next(after);
          expect(at).toBeGreaterThan(after);
          expect(at % 60_000).toBe(0);
          const between = Math.floor(after + (at - 1 - after) * part);
          expect(next(between)).toBe(at);
          expect(next(at)).toBeGreaterThan(at);
        },
      ),
    );
  });

  /** Within days of a change of the clocks. */
  const near = fc
    .constantFrom(
      "2026-03-08",
      "2026-03-29",
      "2026-04-05",
      "2026-10-04",
      "2026-10-25",
      "2026-11-01",
      "2026-02-15",
    )
    .chain((day) => fc.integer({ min: -2 * 1_440, max: 2 * 1_440 }).map((m) => Date.parse(day) + m * 60_000));

  it("are all minutes that fit, and no others, for one that comes each hour", () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...zones),
        near,
        fc.integer({ min: 2, max: 29 }),
        (timeZone, after, step) => {
          const format = new Intl.DateTimeFormat("en-US", { timeZone, minute: "numeric" });
          let expected = after + 60_000;
          while (Number(format.format(expected)) % step !== 0) expected += 60_000;
          expect(timesOf(`*/${step} * * * *`, timeZone)(after)).toBe(expected);
        },
      ),
    );
  });

  it("are one for each day, for one that comes each day", () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...zones),
        near,
        fc.integer({ min: 0, max: 23 }),
        fc.integer({ min: 0, max: 59 }),
        (timeZone, after, hour, minute) => {
          const next = timesOf(`${minute} ${hour} * * *`, timeZone);
          const days = [];
          for (let at = next(after); days.length < 6; at = next(at))
            days.push(new Date(at).toLocaleDateString("sv", { timeZone }));
          const first = Date.parse(days[0]!);
          expect(days).toEqual(
            days.map((_, n) => new Date(first + n * 86_400_000).toISOString().slice(0, 10)),
          );
        },
      ),
    );
  });

  it("of an even interval are the same in every process", () => {
    const { next } = schedule({ key: "k", every: "5m", task: job, input: 1 }).times;
    expect([next(0), next(299_999), next(300_000)]).toEqual([300_000, 300_000, 600_000]);
  });

  it.each([
    [{}],
    [{ every: "1s", cron: "* * * * *" }],
    [{ every: "1s", timeZone: "UTC" }],
    [{ every: "500ms" }],
    [{ every: 1_500 }],
    [{ every: "1s", key: "a b" }],
    [{ every: "1s", key: "x".repeat(76) }],
    [{ every: "1s", missed: "some" }],
    [{ every: "1s", grace: -1 }],
  ])("are refused as %o", (options) => {
    const given = { key: "k", task: job, input: 1, ...options } as unknown as Parameters<typeof schedule>[0];
    expect(() => schedule(given)).toThrow(/schedule/);
  });
});
