import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { LatencyPercentile } from "../src/policies/latency-percentile.ts";

/** The nearest-rank percentile of the plain, sorted list. */
function exact(values: readonly number[], percentile: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil((percentile / 100) * sorted.length) - 1)]!;
}

describe("LatencyPercentile", () => {
  it("is within 2 % of the exact percentile, for anything from 0.1 ms to a day", () => {
    fc.assert(
      fc.property(
        fc.array(fc.double({ min: -1, max: 7.9, noNaN: true }), { minLength: 1, maxLength: 60 }),
        fc.constantFrom(50, 75, 90, 95, 99),
        (exponents, percentile) => {
          const values = exponents.map((exponent) => 10 ** exponent);
          const sketch = new LatencyPercentile(percentile);
          for (const value of values) sketch.add(value);
          const ratio = (sketch.valueMs ?? Number.NaN) / exact(values, percentile);
          expect(ratio).toBeGreaterThan(0.979);
          expect(ratio).toBeLessThan(1.021);
        },
      ),
      { numRuns: 2_000 },
    );
  });

  it("takes any number as a latency, forgets old ones and knows nothing at first", () => {
    const sketch = new LatencyPercentile(95);
    expect(sketch.valueMs).toBeUndefined();
    for (const odd of [0, -1, 1e-9, 1e15, Infinity]) sketch.add(odd);
    expect(sketch.valueMs).toBeGreaterThan(0);
    for (let index = 0; index < 10_000; index += 1) sketch.add(1_000);
    for (let index = 0; index < 10_000; index += 1) sketch.add(10);
    expect(sketch.valueMs).toBeGreaterThan(9.8);
    expect(sketch.valueMs).toBeLessThan(10.2);
    expect(sketch.samples).toBe(20_005);
  });
});
