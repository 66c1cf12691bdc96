// @holdfast/queue/testing: the store contract as tests, for stores of your own.
export { queueStoreConformance } from "./testing/conformance.ts";
export type { QueueStoreSubject } from "./testing/trial.ts";
