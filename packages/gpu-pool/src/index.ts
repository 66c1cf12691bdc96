// @holdfast/gpu-pool: runs models on devices, within deadlines, and survives what the models do.
export { GPU_POOL_DEFAULTS } from "./defaults.ts";
export {
  DeadlineExceededError,
  ModelFailedError,
  PoolSaturatedError,
  UnknownModelError,
  WorkerCrashedError,
} from "./errors.ts";
export { gpuPool } from "./gpu-pool.ts";
export type {
  GpuPool,
  GpuPoolOptions,
  GpuPoolSnapshot,
  Model,
  PoolCloseReport,
  RunModelOptions,
} from "./gpu-pool.ts";
export { Scheduler } from "./scheduler.ts";
export type { Assignment, Decisions, ScheduledRequest } from "./scheduler.ts";
export type { DeviceStatus } from "./supervised-device.ts";
export type { Device, Job, Worker, WorkerAdapter, WorkerEvents } from "./worker.ts";
