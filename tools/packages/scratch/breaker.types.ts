// Uses @holdfast/breaker from strict TypeScript.
import type { CircuitBreaker, CircuitState } from "@holdfast/breaker";
import { circuitBreaker, countWindow } from "@holdfast/breaker";
import { fallback, pipeline } from "@holdfast/core";

export const breaker: CircuitBreaker = circuitBreaker({ trip: countWindow({ size: 50 }), openFor: "10s" });
export const state: CircuitState = breaker.state;
export const answer: Promise<number | "none"> = pipeline(fallback("none"), breaker).run(async () => 5);

// @ts-expect-error a rule is made by one of three functions
circuitBreaker({ trip: "consecutive" });
