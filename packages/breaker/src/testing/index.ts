// @holdfast/breaker/testing: the contract of circuit stores as tests.
export { circuitStoreConformance } from "./conformance.ts";
export type { CircuitStoreSubject } from "./trial.ts";
