import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { IdMap } from "../src/scheduler/id-map.ts";

/** Neighbours, steps of powers of two, which a bad start would put into one place, and what a counter reaches at most. */
const id = fc.oneof(
  fc.nat(40),
  fc.nat(40).map((step) => step * 1_024),
  fc.nat(40).map((step) => Number.MAX_SAFE_INTEGER - step * 2 ** 32),
);
const step = fc.record({ id, does: fc.constantFrom("set", "set", "get", "delete") });
const ascending = (a: number, b: number): number => a - b;

describe("IdMap", () => {
  it("answers what a Map answers", () => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 50, maxLength: 300 }), (steps) => {
        const map = new IdMap<number>();
        const model = new Map<number, number>();
        for (const [index, { id: key, does }] of steps.entries()) {
          if (does === "set") {
            map.set(key, index);
            model.set(key, index);
          } else if (does === "delete") {
            map.delete(key);
            model.delete(key);
          }
          expect([map.size, map.get(key)]).toEqual([model.size, model.get(key)]);
        }
        for (const { id: key } of steps) expect(map.get(key)).toBe(model.get(key));
        expect([...map.values()].sort(ascending)).toEqual([...model.values()].sort(ascending));
      }),
    );
  });

  it("keeps a window that moves on, as requests do, at the size of the window", () => {
    const map = new IdMap<number>();
    for (let next = 0; next < 100_000; next += 1) {
      map.set(next, next);
      if (next >= 100) map.delete(next - 100);
    }
    expect(map.size).toBe(100);
    expect(map.get(99_950)).toBe(99_950);
    expect(map.get(99_850)).toBeUndefined();
  });
});
