import type { Backoff, Jitter } from "@holdfast/core";
import { constant, delays, exponential, linear, seededRandom } from "@holdfast/core";
import fc from "fast-check";
import { describe, expect, it } from "vitest";

const fraction = fc.double({ min: 0, max: 1, noNaN: true });
const jitter: fc.Arbitrary<Jitter> = fc.oneof(
  fc.constantFrom<Jitter[]>("none", "full", "equal"),
  fraction.map((value) => ({ fraction: value })),
  fraction.map((value) => ({ plusMinus: value })),
);
const capMs = fc.double({ min: 1, max: 8_640_000_000_000, noNaN: true });
const share = fc.double({ min: 0, max: 1, noNaN: true });

/** A backoff and the longest wait it may ever draw. */
const backoff: fc.Arbitrary<{ readonly backoff: Backoff; readonly most: number }> = fc.oneof(
  fc
    .record({ cap: capMs, share, factor: fc.double({ min: 1, max: 100, noNaN: true }), jitter })
    .map((given) => ({
      backoff: exponential({
        base: Math.max(1, given.cap * given.share),
        cap: given.cap,
        factor: given.factor,
        jitter: given.jitter,
      }),
      most: given.cap,
    })),
  fc
    .record({
      cap: capMs,
      share,
      jitter: fc.constantFrom("decorrelated-aws" as const, "decorrelated-polly" as const),
    })
    .map((given) => ({
      backoff: exponential({
        base: Math.max(1, given.cap * given.share),
        cap: given.cap,
        jitter: given.jitter,
      }),
      most: given.cap,
    })),
  fc.record({ cap: capMs, share, step: capMs, jitter }).map((given) => ({
    backoff: linear({
      base: given.cap * given.share,
      step: given.step,
      cap: given.cap,
      jitter: given.jitter,
    }),
    most: given.cap,
  })),
  fc.record({ list: fc.array(capMs, { minLength: 1, maxLength: 5 }), jitter }).map((given) => ({
    backoff: delays(given.list, { jitter: given.jitter }),
    most: 2 * Math.max(...given.list),
  })),
);

describe("backoff, for any options", () => {
  it("[bug 22] never draws NaN, Infinity, a negative wait or one above the cap, in a row of any length", () => {
    fc.assert(
      fc.property(
        backoff,
        fc.nat(),
        fc.integer({ min: 1, max: 3_000 }),
        ({ backoff: chosen, most }, seed, length) => {
          const random = seededRandom(seed);
          let state = 0;
          for (let failures = 1; failures <= length; failures += 1) {
            const step = chosen.next(failures, state, random);
            state = step.state;
            if (!(step.delayMs >= 0 && step.delayMs <= most)) return false;
          }
          return true;
        },
      ),
      { numRuns: 500 },
    );
  });

  it("[bug 22] stays within the cap after more failures than anything could count", () => {
    fc.assert(
      fc.property(
        backoff,
        fc.nat(),
        fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
        ({ backoff: chosen, most }, seed, failures) => {
          const { delayMs } = chosen.next(failures, 0, seededRandom(seed));
          return delayMs >= 0 && delayMs <= most;
        },
      ),
      { numRuns: 5_000 },
    );
  });

  it("is pure: the same failures, state and draw give the same wait", () => {
    fc.assert(
      fc.property(
        backoff,
        fc.nat(),
        fc.integer({ min: 1, max: 100 }),
        ({ backoff: chosen }, seed, failures) => {
          expect(chosen.next(failures, 0, seededRandom(seed))).toEqual(
            chosen.next(failures, 0, seededRandom(seed)),
          );
        },
      ),
      { numRuns: 500 },
    );
  });
});

describe("the distributions", () => {
  it.each<[Jitter, number]>([
    ["full", 0.5],
    ["equal", 0.75],
    [{ fraction: 0.1 }, 1.05],
    [{ plusMinus: 0.25 }, 1],
  ])("of %j has the mean %f · delay", (chosen, mean) => {
    const random = seededRandom(11);
    const rule = constant("1s", { jitter: chosen });
    const draws = Array.from({ length: 20_000 }, () => rule.next(1, 0, random).delayMs);
    const average = draws.reduce((sum, draw) => sum + draw, 0) / draws.length;
    expect(Math.abs(average - mean * 1_000)).toBeLessThan(10);
  });

  it("of decorrelated-polly has its median near the base at the first wait, and about doubles later", () => {
    const random = seededRandom(11);
    const rule = exponential({ base: "1s", cap: "1h", jitter: "decorrelated-polly" });
    const rows = Array.from({ length: 4_001 }, () => {
      let state = 0;
      return [1, 2, 3, 4].map((failures) => {
        const step = rule.next(failures, state, random);
        state = step.state;
        return step.delayMs;
      });
    });
    const medians = [0, 1, 2, 3].map(
      (column) => rows.map((row) => row[column]!).sort((a, b) => a - b)[2_000]!,
    );
    expect(medians[0]! / 1_000).toBeCloseTo(1, 0);
    expect(medians[1]!).toBeGreaterThan(medians[0]!);
    expect(medians[2]! / medians[1]!).toBeGreaterThan(1.7);
    expect(medians[3]! / medians[2]!).toBeCloseTo(2, 0);
  });
});
