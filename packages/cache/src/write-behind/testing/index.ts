// @holdfast/cache/testing: what every write log has to do, as a suite to run on yours.
export { writeLogConformance } from "./conformance.ts";
export type { WriteLogSubject } from "./trial.ts";
