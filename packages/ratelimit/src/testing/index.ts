// @holdfast/ratelimit/testing: what every store of rate limits has to do, as a suite to run on yours.
export { rateLimitStoreConformance } from "./conformance.ts";
export type { RateLimitStoreSubject } from "./trial.ts";
