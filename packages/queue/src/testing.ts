// @holdfast/queue/testing: the store contract as tests and as a model, for stores of your own.
export { queueStoreConformance } from "./testing/conformance.ts";
export { QueueModelError, queueStoreModel } from "./testing/model/queue-store-model.ts";
export type { QueueModelOptions } from "./testing/model/queue-store-model.ts";
export type { QueueModelSubject, QueueStoreSubject } from "./testing/trial.ts";
