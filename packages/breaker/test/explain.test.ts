import { adaptiveConcurrency, circuitBreaker } from "@holdfast/breaker";
import type { Policy } from "@holdfast/core";
import { fallback, hedge, pipeline, retry, timeout } from "@holdfast/core";
import { describe, expect, it } from "vitest";

const codes = (...policies: [Policy<unknown>, ...Policy<unknown>[]]): string[] =>
  pipeline(...policies)
    .explain()
    .warnings.map(({ code }) => code);

describe("explain() knows these policies", () => {
  it("has nothing to say about the order that is recommended", () => {
    expect(
      codes(fallback("none"), timeout("10s"), retry({ attempts: 3 }), circuitBreaker(), timeout("2s")),
    ).toEqual([]);
  });

  it("names a breaker inside a hedge, and one that sees no timeouts", () => {
    expect(codes(hedge({ delay: "50ms" }), circuitBreaker())).toEqual(["BREAKER_INSIDE_HEDGE"]);
    expect(codes(timeout("2s"), circuitBreaker())).toEqual(["BREAKER_MISSES_TIMEOUTS"]);
    const [warning] = pipeline(timeout("2s"), circuitBreaker({ name: "db" })).explain().warnings;
    expect(warning?.message).toBe(
      'the circuit-breaker "db" never sees the timeouts of the timeout: a hanging callee does not open it',
    );
  });

  it("names retries that multiply, a retry inside a breaker, and limits that are paid for each try", () => {
    expect(codes(retry(), circuitBreaker(), retry())).toContain("RETRY_TIMES_RETRY");
    expect(codes(circuitBreaker(), retry())).toEqual(["RETRY_INSIDE_BREAKER"]);
    expect(codes(retry(), adaptiveConcurrency())).toEqual(["LIMIT_INSIDE_REPEAT"]);
  });
});
