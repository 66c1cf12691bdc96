// The checker is only as good as the histories it rejects.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { TakeRecord } from "./support/linearizability.ts";
import { isLinearizable } from "./support/linearizability.ts";

const CAPACITY = 10;

/** A history as a correct store makes it: each take happens at some moment between question and answer. */
const correct = (losesAnswers: boolean): fc.Arbitrary<readonly TakeRecord[]> =>
  fc
    .array(
      fc.record({
        cost: fc.integer({ min: 1, max: 4 }),
        at: fc.integer({ min: 0, max: 60 }),
        before: fc.integer({ min: 1, max: 15 }),
        after: fc.integer({ min: 1, max: 15 }),
        lost: fc.integer({ min: 0, max: 9 }),
      }),
      { minLength: 1, maxLength: 14 },
    )
    .map((takes): readonly TakeRecord[] => {
      let used = 0;
      return takes
        .map((take, order) => ({ ...take, at: take.at * 100 + order }))
        .sort((a, b) => a.at - b.at)
        .map(({ cost, at, before, after, lost }) => {
          const allowed = used + cost <= CAPACITY;
          if (allowed) used += cost;
          const answer = { at: BigInt(at + after * 100), allowed, remaining: CAPACITY - used };
          return {
            cost,
            invokedAt: BigInt(at - before * 100),
            answer: losesAnswers && lost === 0 ? undefined : answer,
          };
        });
    });

const take = (cost: number, from: number, to: number, allowed: boolean, remaining: number): TakeRecord => ({
  cost,
  invokedAt: BigInt(from),
  answer: { at: BigInt(to), allowed, remaining },
});

describe("isLinearizable", () => {
  it("accepts whatever a correct store can have said", () => {
    fc.assert(
      fc.property(correct(true), (history) => isLinearizable(history, CAPACITY)),
      { numRuns: 500 },
    );
  });

  it("rejects every history of which one answer was turned round", () => {
    fc.assert(
      // With no answer lost, what is left after each take tells its place: another answer fits nowhere.
      fc.property(correct(false), fc.nat(), (history, pick) => {
        const broken = history.map((record, at) =>
          at === pick % history.length && record.answer
            ? { ...record, answer: { ...record.answer, allowed: !record.answer.allowed } }
            : record,
        );
        expect(isLinearizable(broken, CAPACITY)).toBe(false);
      }),
      { numRuns: 500 },
    );
  });

  it.each<readonly [string, readonly TakeRecord[]]>([
    ["more was given out than there is", [take(6, 0, 1, true, 4), take(6, 2, 3, true, 0)]],
    ["two saw the same left", [take(2, 0, 5, true, 8), take(2, 0, 5, true, 8)]],
    ["a take is forgotten by a later one", [take(2, 0, 1, true, 8), take(3, 2, 3, true, 7)]],
    ["an earlier take saw a later one", [take(2, 0, 1, true, 5), take(3, 2, 3, true, 5)]],
    ["refused what fits", [take(2, 0, 1, true, 8), take(3, 2, 3, false, 8)]],
    [
      "a refusal took something",
      [take(8, 0, 1, true, 2), take(3, 2, 3, false, 0), take(1, 4, 5, true, 1)].slice(0, 2),
    ],
    [
      "a refused take spent the rest",
      [take(8, 0, 1, true, 2), take(3, 2, 3, false, 2), take(2, 4, 5, false, 2)],
    ],
  ])("rejects: %s", (_, history) => {
    expect(isLinearizable(history, CAPACITY)).toBe(false);
  });

  it("accepts a lost answer either way, but not before it was asked", () => {
    const lost = (at: number): TakeRecord => ({ cost: 4, invokedAt: BigInt(at), answer: undefined });
    expect(isLinearizable([lost(0), take(2, 10, 11, true, 8)], CAPACITY)).toBe(true);
    expect(isLinearizable([lost(0), take(2, 10, 11, true, 4)], CAPACITY)).toBe(true);
    expect(isLinearizable([lost(20), take(2, 10, 11, true, 4)], CAPACITY)).toBe(false);
  });
});
