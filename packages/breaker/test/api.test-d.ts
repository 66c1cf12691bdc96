import type {
  CircuitBreaker,
  CircuitState,
  CircuitStore,
  Permit,
  Refusal,
  ShareSnapshot,
  ShareStatus,
} from "@holdfast/breaker";
import { circuitBreaker, circuitBreakers, consecutive, memoryCircuitStore } from "@holdfast/breaker";
import { redisCircuitStore } from "@holdfast/breaker/redis";
import type { Policy } from "@holdfast/core";
import { fallback, pipeline } from "@holdfast/core";
import type { Cluster, Redis } from "ioredis";
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

  it("a circuit is shared through a store, whose client is ioredis, alone or as a Cluster", () => {
    expectTypeOf(circuitBreaker({ share: { store: memoryCircuitStore() } })).toEqualTypeOf<CircuitBreaker>();
    expectTypeOf(breaker.snapshot().share).toEqualTypeOf<ShareSnapshot | undefined>();
    expectTypeOf<ShareSnapshot["status"]>().toEqualTypeOf<ShareStatus>();
    expectTypeOf(redisCircuitStore).returns.toEqualTypeOf<CircuitStore>();
    type Client = Parameters<typeof redisCircuitStore>[0]["client"];
    expectTypeOf<Redis>().toExtend<Client>();
    expectTypeOf<Cluster>().toExtend<Client>();
    // @ts-expect-error -- a store is needed
    circuitBreaker({ share: { quorum: 2 } });
  });
});
