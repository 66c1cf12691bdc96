import type { Backoff, Jitter } from "@holdfast/core";
import { constant, delays, exponential, InvalidOptionError, linear, seededRandom } from "@holdfast/core";
import { describe, expect, it } from "vitest";
import { row } from "../../../tools/systems/row.mjs";

/** The first `count` waits with a fixed draw. */
function waits(backoff: Backoff, count: number, draw = 0.5): number[] {
  const drawn: number[] = [];
  let state = 0;
  for (let failures = 1; failures <= count; failures += 1) {
    const step = backoff.next(failures, state, () => draw);
    drawn.push(step.delayMs);
    state = step.state;
  }
  return drawn;
}

describe("backoff", () => {
  it("constant waits the same every time", () => {
    expect(waits(constant("2s"), 3)).toEqual([2_000, 2_000, 2_000]);
  });

  it("linear grows by its step, by its base without one, up to the cap", () => {
    expect(waits(linear({ base: 100 }), 4)).toEqual([100, 200, 300, 400]);
    expect(waits(linear({ base: 0, step: "1s", cap: "2s" }), 4)).toEqual([0, 1_000, 2_000, 2_000]);
  });

  it("exponential doubles from 100 ms to 30 s by default, with full jitter", () => {
    expect(waits(exponential({ jitter: "none" }), 10)).toEqual([
      100, 200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 30_000,
    ]);
    expect(waits(exponential(), 3)).toEqual([50, 100, 200]);
    expect(exponential().summary).toBe("exponential backoff from 100ms to 30s, full jitter");
  });

  it("exponential grows by its factor", () => {
    expect(waits(exponential({ base: 10, factor: 10, cap: "5s", jitter: "none" }), 4)).toEqual([
      10, 100, 1_000, 5_000,
    ]);
  });

  it("delays waits as listed, and the last wait repeats", () => {
    expect(waits(delays([0, "1s", "5s"]), 5)).toEqual([0, 1_000, 5_000, 5_000, 5_000]);
  });

  it(row(74, "waits base · 2^attempt plus uniform(0, 0.1 · delay)"), () => {
    const backoff = exponential({ base: 100, jitter: { fraction: 0.1 } });
    expect(waits(backoff, 4, 0)).toEqual([100, 200, 400, 800]);
    for (const [attempt, wait] of waits(backoff, 4, 0.5).entries())
      expect(wait).toBeCloseTo(100 * 2 ** attempt * 1.05);
    for (const [attempt, wait] of waits(backoff, 4, 1).entries())
      expect(wait).toBeCloseTo(100 * 2 ** attempt * 1.1);
  });

  it.each<[Jitter, number, number]>([
    ["none", 1_000, 1_000],
    ["full", 0, 1_000],
    ["equal", 500, 1_000],
    [{ fraction: 0.2 }, 1_000, 1_200],
    [{ plusMinus: 0.2 }, 800, 1_200],
  ])("jitter %j spreads 1 s from %i to %i ms", (jitter, least, most) => {
    expect(constant("1s", { jitter }).next(1, 0, () => 0).delayMs).toBeCloseTo(least);
    expect(constant("1s", { jitter }).next(1, 0, () => 1).delayMs).toBeCloseTo(most);
  });

  it("still spreads the clients whose waits have reached the cap", () => {
    const random = seededRandom(3);
    for (const jitter of ["full", "equal", { fraction: 0.1 }, { plusMinus: 0.1 }] as const) {
      const backoff = exponential({ cap: "1s", jitter });
      const drawn = Array.from({ length: 100 }, () => backoff.next(40, 0, random).delayMs);
      expect(new Set(drawn).size).toBeGreaterThan(90);
      expect(Math.max(...drawn)).toBeLessThanOrEqual(1_000);
    }
  });

  it("decorrelated-aws draws from base to three times the wait before", () => {
    const backoff = exponential({ base: 100, cap: "10s", jitter: "decorrelated-aws" });
    expect(waits(backoff, 4, 0)).toEqual([100, 100, 100, 100]);
    expect(waits(backoff, 4, 1)).toEqual([300, 900, 2_700, 8_100]);
    expect(waits(backoff, 6, 1).at(-1)).toBe(10_000);
  });

  it("decorrelated-polly follows 2^t · tanh(√(4t)), differences scaled by 1/1.4", () => {
    const backoff = exponential({ base: "1s", cap: "1h", jitter: "decorrelated-polly" });
    const curve = (t: number): number => 2 ** t * Math.tanh(Math.sqrt(4 * t));
    const [first, second, third] = waits(backoff, 3, 0.5);
    expect(first).toBeCloseTo((curve(0.5) / 1.4) * 1_000);
    expect(second).toBeCloseTo(((curve(1.5) - curve(0.5)) / 1.4) * 1_000);
    expect(third).toBeCloseTo(((curve(2.5) - curve(1.5)) / 1.4) * 1_000);
  });

  it("[bug 22] decorrelated jitter never becomes NaN, nor zero, however many attempts", () => {
    for (const jitter of ["decorrelated-aws", "decorrelated-polly"] as const) {
      const late = waits(exponential({ jitter }), 5_000).slice(20);
      expect(late.every((wait) => wait === 30_000)).toBe(true);
    }
  });

  it("a faulty source of randomness cannot produce a wait that is no number", () => {
    expect(exponential().next(1, 0, () => NaN).delayMs).toBe(30_000);
    expect(exponential().next(1, 0, () => -5).delayMs).toBe(0);
  });

  it("refuses options out of range, and a combination without meaning", () => {
    expect(() => constant("-1s" as "1s")).toThrow(InvalidOptionError);
    expect(() => exponential({ base: 0 })).toThrow(/base/);
    expect(() => exponential({ base: "1m", cap: "1s" })).toThrow(/base/);
    expect(() => exponential({ factor: 0.5 })).toThrow(/factor/);
    expect(() => exponential({ factor: 3, jitter: "decorrelated-aws" })).toThrow(/left out/);
    expect(() => linear({ step: -1 })).toThrow(/step/);
    expect(() => delays([])).toThrow(/list/);
    expect(() => delays([1, "x" as "1s"])).toThrow(/list\[1\]/);
    expect(() => exponential({ jitter: { fraction: 2 } })).toThrow(/jitter\.fraction/);
    expect(() => constant(1, { jitter: "some" as "full" })).toThrow(/jitter/);
    expect(() => constant(1, { jitter: {} as { fraction: number } })).toThrow(/jitter/);
  });
});
