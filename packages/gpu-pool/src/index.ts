// @holdfast/gpu-pool: runs models on devices, within deadlines, and survives what the models do.
export { GPU_POOL_DEFAULTS } from "./defaults.ts";
export type { Device, DeviceStatus } from "./device.ts";
export {
  DeadlineExceededError,
  ModelFailedError,
  ModelUnavailableError,
  OutOfMemoryError,
  PoolSaturatedError,
  UnknownDeviceError,
  UnknownModelError,
  WorkerCrashedError,
  WorkerFailedError,
} from "./errors.ts";
export { gpuPool } from "./gpu-pool.ts";
export type {
  AutoscaleOptions,
  CanaryOptions,
  GpuPool,
  GpuPoolOptions,
  ModelLease,
  PoolCloseReport,
  RunModelOptions,
  WaitOptions,
} from "./contract.ts";
export type {
  FollowedAlias,
  FollowerSnapshot,
  FollowingPool,
  FollowRegistryOptions,
  RegistryFollower,
  RolloutEvent,
} from "./following/contract.ts";
export { WarmUpAnswerError } from "./following/errors.ts";
export { followRegistry } from "./following/follow-registry.ts";
export { gpuPoolMetrics } from "./metrics.ts";
export { classifyFailure } from "./health/classify-failure.ts";
export type { FailureKind } from "./health/classify-failure.ts";
export { defineModel } from "./model.ts";
export type { Model, ModelOptions, ModelRef } from "./model.ts";
export type {
  AliasMove,
  AliasRemoval,
  GuardedCallOptions,
  JsonValue,
  ListOptions,
  MeasuredProfile,
  ModelAlias,
  ModelEntry,
  ModelPage,
  ModelRecord,
  ModelRegistry,
  ModelState,
  ProfileRecording,
  RecordedProfile,
  RegisteredModel,
  RegistryCallOptions,
  RegistryChange,
  WatchOptions,
} from "./registry/contract.ts";
export {
  AliasTakenError,
  ModelConflictError,
  ModelDigestError,
  ModelInUseError,
  ModelNotAvailableError,
  RegistryFullError,
} from "./registry/errors.ts";
export { REGISTRY_LIMITS } from "./registry/limits.ts";
export { memoryModelStore } from "./registry/memory-store.ts";
export type { MemoryModelStoreOptions } from "./registry/memory-store.ts";
export { modelRegistry } from "./registry/model-registry.ts";
export type { ModelRegistryOptions, RegistryEvent } from "./registry/model-registry.ts";
export { rollBackAlias } from "./registry/roll-back.ts";
export type {
  AliasRow,
  ModelRow,
  ModelStore,
  ModelStoreTraits,
  PageRequest,
  ProfileRow,
  StoreAnswer,
  StoreChanges,
  StoreCommand,
  StoreVerdict,
} from "./registry/store.ts";
export type {
  DeviceEvent,
  DeviceSnapshot,
  GpuPoolSnapshot,
  ModelEvent,
  ModelSnapshot,
  RequestCounts,
  RequestEvent,
  RunningSnapshot,
  ScaleEvent,
} from "./observe.ts";
export { Autoscaler } from "./scheduler/autoscaler.ts";
export type { AutoscalerOptions, ScaleCommand, ScaledWork } from "./scheduler/autoscaler.ts";
export type { MeasuredTimes } from "./scheduler/batch-profile.ts";
export type { ScaleCost } from "./scheduler/capacity-need.ts";
export type { DeviceMemory } from "./scheduler/device-memory.ts";
export type { ModelCounts } from "./scheduler/model-counts.ts";
export { Scheduler } from "./scheduler/scheduler.ts";
export type {
  BatchTimes,
  DropReason,
  EventScheduler,
  QueueLimit,
  ScheduledModel,
  ScheduledRequest,
  SchedulerCommand,
  SchedulerEvent,
  SchedulerOptions,
} from "./scheduler/contract.ts";
export type {
  Batch,
  BatchItem,
  DeviceProvider,
  Worker,
  WorkerAdapter,
  WorkerEvents,
  WorkerStarter,
} from "./worker.ts";
