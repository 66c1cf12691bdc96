// @holdfast/gpu-pool/sim: the pool's scheduler and those of others, on virtual time.
export { drawTrace, zipfShares } from "./arrivals.ts";
export type { Trace, TraceOptions } from "./arrivals.ts";
export { goodputBounds } from "./bounds.ts";
export type { GoodputBounds } from "./bounds.ts";
export { latencyLine, lineChart, timelineChart } from "./charts.ts";
export type { ChartLine, LineChart } from "./charts.ts";
export type { SimulatedModel } from "./model.ts";
export type { Outage } from "./outages.ts";
export { Baseline, Line } from "./policies/baseline.ts";
export type {
  ModelLine,
  Place,
  Policy,
  PolicyCommand,
  Preempt,
  Running,
  Waiting,
} from "./policies/baseline.ts";
export type { ScalePoint, SimulatedScaling } from "./rented-devices.ts";
export { goodputOf, LOADING_POLICIES, POLICIES, runScenario, simulatedDevices } from "./scenario.ts";
export type { PolicyName, Scenario, ScenarioResult } from "./scenario.ts";
export { simulate } from "./simulate.ts";
export type { SimulationOptions, SimulationResult, TimelineBatch } from "./simulate.ts";
export { dealtPlacement } from "./static-placement.ts";
export { traceFromCsv } from "./trace-file.ts";
export type { RecordedTrace } from "./trace-file.ts";
