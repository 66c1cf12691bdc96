import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  formatDuration,
  InvalidOptionError,
  MAX_DURATION_MS,
  optionsOf,
  seededRandom,
  systemRandom,
  toMs,
} from "@holdfast/core";

const check = optionsOf("maker");
const refused = (make: () => unknown): InvalidOptionError => {
  try {
    make();
  } catch (error) {
    if (error instanceof InvalidOptionError) return error;
  }
  return expect.unreachable("it was not refused");
};

describe("option checks", () => {
  it("name the maker, the option, the value and what is expected", () => {
    const error = refused(() => check.integer("attempts", 0, { min: 1, max: 10 }));
    expect(error).toMatchObject({ owner: "maker", option: "attempts", value: 0 });
    expect(error.message).toBe('maker: option "attempts" must be an integer from 1 to 10; got 0');
    expect(refused(() => check.duration("every", "2 s", { min: 1_000 })).message).toMatch(
      /"2s".*at least 1s/,
    );
    expect(refused(() => check.number("share", "1", { max: 1 })).message).toMatch(
      /a number of at most 1; got "1"/,
    );
  });

  it("use the fallback for undefined alone", () => {
    expect(check.integer("n", undefined, {}, 3)).toBe(3);
    expect(check.string("s", undefined, 255, "x")).toBe("x");
    expect(check.boolean("b", undefined, false)).toBe(false);
    expect(check.oneOf("o", undefined, ["a", "b"], "b")).toBe("b");
    expect(check.duration("d", undefined, {}, 5)).toBe(5);
    expect(check.function("f", undefined)).toBeUndefined();
    for (const none of [null, "", NaN]) {
      refused(() => check.integer("n", none, {}, 3));
      refused(() => check.string("s", none, 255, "x"));
      refused(() => check.boolean("b", none, true));
      refused(() => check.oneOf("o", none, ["a"], "a"));
      refused(() => check.duration("d", none, {}, 5));
    }
    refused(() => check.integer("n", undefined));
  });

  it("refuse what is almost right", () => {
    for (const value of [1.5, "1", 2 ** 53, Infinity, NaN, 1n, [1], {}])
      refused(() => check.integer("n", value));
    for (const value of [Infinity, NaN, "1", 1n, new Date(), true]) refused(() => check.number("n", value));
    for (const value of [1, [], null, new String("x"), "x".repeat(256)])
      refused(() => check.string("s", value));
    for (const value of [0, 1, "true", null]) refused(() => check.boolean("b", value));
    for (const value of ["A", 0, null, ["a"]]) refused(() => check.oneOf("o", value, ["a"]));
    for (const value of [null, "f", {}]) refused(() => check.function("f", value as never));
    for (const value of [null, undefined, "o", 1, () => {}]) refused(() => check.object("o", value));
  });
});

describe("durations", () => {
  it.each([
    [0, 0],
    [1.5, 1.5],
    ["250ms", 250],
    ["1.5s", 1_500],
    ["5m", 300_000],
    ["1h", 3_600_000],
    ["7d", 604_800_000],
    ["100000d", MAX_DURATION_MS],
  ] as const)("reads %s as %d ms", (duration, ms) => {
    expect(toMs(duration)).toBe(ms);
  });

  it.each([
    -1,
    NaN,
    Infinity,
    MAX_DURATION_MS + 1,
    "5",
    "s",
    "-5s",
    "+5s",
    "5S",
    " 5s",
    "5s ",
    "5 s",
    "1e3ms",
    ".5s",
    "5.s",
    "0x5ms",
    "٥s",
    "100001d",
    "",
    "9".repeat(40) + "ms",
    null,
    undefined,
    {},
    [5],
    5n,
    true,
  ])("refuses %s", (bad) => {
    expect(() => toMs(bad as number)).toThrow(InvalidOptionError);
  });

  it("formats any whole number of milliseconds so that it reads back as the same", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: MAX_DURATION_MS }), (ms) => {
        expect(toMs(formatDuration(ms) as "1ms")).toBe(ms);
      }),
    );
    expect([formatDuration(Infinity), formatDuration(0), formatDuration(0.123_45)]).toEqual([
      "unlimited",
      "0ms",
      "0.123ms",
    ]);
  });
});

describe("random", () => {
  it("draws from [0, 1), evenly, the same numbers for the same seed", () => {
    const draws = Array.from({ length: 50_000 }, seededRandom(42));
    expect(draws).toEqual(Array.from({ length: 50_000 }, seededRandom(42)));
    expect(Math.min(...draws.slice(0, 10_000))).toBeGreaterThanOrEqual(0);
    expect(Math.max(...draws.slice(0, 10_000))).toBeLessThan(1);
    const tenths = Array.from(
      { length: 10 },
      (_, tenth) => draws.filter((x) => Math.floor(x * 10) === tenth).length,
    );
    // Five standard deviations of a fair draw.
    for (const count of tenths)
      expect(Math.abs(count - 5_000)).toBeLessThan(5 * Math.sqrt(50_000 * 0.1 * 0.9));
    expect(systemRandom()).not.toBe(systemRandom());
  });

  it("gives neighbouring seeds unrelated draws", () => {
    const firsts = Array.from({ length: 1_000 }, (_, seed) => seededRandom(seed)());
    expect(new Set(firsts).size).toBe(1_000);
    expect(firsts.reduce((sum, x) => sum + x, 0) / 1_000).toBeCloseTo(0.5, 1);
  });
});
