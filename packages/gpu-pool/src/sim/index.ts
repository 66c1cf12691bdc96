// @holdfast/gpu-pool/sim: the pool's scheduler and those of others, on virtual time.
export { drawTrace, traceFromCsv, zipfShares } from "./arrivals.ts";
export type { Trace, TraceOptions } from "./arrivals.ts";
export { simulate } from "./simulate.ts";
export type { SimulatedModel, SimulationOptions, SimulationResult, TimelineBatch } from "./simulate.ts";
