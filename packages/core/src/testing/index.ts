// @holdfast/core/testing: time by hand, draws by seed, faults on demand, and a look at what is left behind.
export { manualClock } from "./manual-clock.ts";
export type { ManualClock } from "./manual-clock.ts";
export { seededRandom } from "../random.ts";
export type { Random } from "../random.ts";
export { faulty, InjectedFaultError } from "./faulty.ts";
export type { Fault, FaultRates, FaultScript, FaultyCall, FaultyOptions } from "./faulty.ts";
export { leakCheck } from "./leak-check.ts";
export type { LeakCheck, LeakCheckOptions, Leaks } from "./leak-check.ts";
export { ConformanceError, ensure, present, same } from "./assert.ts";
export type { ConformanceRunner } from "./assert.ts";
export { idempotencyStoreConformance } from "./idempotency/conformance.ts";
export type { IdempotencyStoreSubject } from "./idempotency/trial.ts";
