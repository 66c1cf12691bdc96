// @holdfast/cache/testing: the suite for stores of shared values.
export { cacheStoreConformance } from "./conformance.ts";
export type { CacheStoreSubject } from "./trial.ts";
