// @holdfast/queue/testing: the store contract as tests, for stores of your own.
export { queueStoreConformance } from "./testing/conformance.ts";
export type { ConformanceRunner } from "./testing/conformance.ts";
export type { QueueStoreSubject } from "./testing/trial.ts";
export { ConformanceError } from "./testing/assert.ts";
