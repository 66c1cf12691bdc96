// @holdfast/core/testing: time by hand, faults on demand.
export { manualClock } from "./manual-clock.ts";
export type { ManualClock } from "./manual-clock.ts";
