// Uses @holdfast/breaker from strict TypeScript.
import type { CircuitBreaker, CircuitState, CircuitStore, ShareOptions } from "@holdfast/breaker";
import { circuitBreaker, countWindow, memoryCircuitStore } from "@holdfast/breaker";
import { redisCircuitStore } from "@holdfast/breaker/redis";
import { fallback, pipeline } from "@holdfast/core";

export const breaker: CircuitBreaker = circuitBreaker({ trip: countWindow({ size: 50 }), openFor: "10s" });
export const state: CircuitState = breaker.state;
export const answer: Promise<number | "none"> = pipeline(fallback("none"), breaker).run(async () => 5);

export const store = (client: {
  evalsha: () => Promise<unknown>;
  eval: () => Promise<unknown>;
}): CircuitStore => redisCircuitStore({ client, poll: "1s" });
export const share: ShareOptions = { store: memoryCircuitStore(), quorum: 2, voteWindow: "30s" };
export const shared: CircuitBreaker = circuitBreaker({ share });
export const status: "joined" | "alone" | "left" | undefined = shared.snapshot().share?.status;

// @ts-expect-error a store is needed
circuitBreaker({ share: { quorum: 2 } });

// @ts-expect-error a rule is made by one of three functions
circuitBreaker({ trip: "consecutive" });
