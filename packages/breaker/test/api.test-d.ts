import type { CircuitBreaker, CircuitState, Permit, Refusal } from "@holdfast/breaker";
import { circuitBreaker, circuitBreakers, consecutive } from "@holdfast/breaker";
import type { Policy } from "@holdfast/core";
import { fallback, pipeline } from "@holdfast/core";
import { describe, expectTypeOf, it } from "vitest";

describe("types of circuit breakers", () => {
  const breaker = circuitBreaker();

  it("a breaker is a policy that answers what its task answers", () => {
    expectTypeOf(breaker).toExtend<Policy>();
    expectTypeOf(breaker.run(() => 5)).resolves.toEqualTypeOf<number>();
    expectTypeOf(breaker.run(async () => "x")).resolves.toEqualTypeOf<string>();
    expectTypeOf(pipeline(fallback("none"), breaker).run(() => 5)).resolves.toEqualTypeOf<number | "none">();
  });

  it("a refusal is a value where that is wished, told apart by `admitted`", async () => {
    const outcome = await breaker.tryRun(() => 5);
    if (outcome.admitted) expectTypeOf(outcome.value).toEqualTypeOf<number>();
    else expectTypeOf(outcome).toEqualTypeOf<Refusal>();
    expectTypeOf(breaker.acquire()).toEqualTypeOf<Permit | Refusal>();
    expectTypeOf(breaker.state).toEqualTypeOf<CircuitState>();
  });

  it("options are checked", () => {
    // @ts-expect-error -- not a duration
    circuitBreaker({ openFor: "10 seconds" });
    // @ts-expect-error -- not a rule
    circuitBreaker({ trip: 5 });
    // @ts-expect-error -- failures is a number
    consecutive({ failures: "5" });
    expectTypeOf(circuitBreakers().for("key")).toEqualTypeOf<CircuitBreaker>();
  });
});
