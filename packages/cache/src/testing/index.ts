// @holdfast/cache/testing: the suites for stores of shared values and for logs of write-behind.
export { cacheStoreConformance } from "./conformance.ts";
export type { CacheStoreSubject } from "./trial.ts";
export { writeLogConformance } from "../write-behind/testing/conformance.ts";
export type { WriteLogSubject } from "../write-behind/testing/trial.ts";
