// @holdfast/queue: tasks with an ID at once, leases with fencing tokens, and everything one may ask about them.
export { autoscaleSignal, measureQueue } from "./autoscale.ts";
export type { AutoscaleOptions, AutoscaleSignal, QueueMeasure } from "./autoscale.ts";
export type { PayloadCodec, PayloadPlace } from "./codec/payload-codec.ts";
export {
  InvalidPayloadError,
  NoHandlerError,
  NoParentError,
  PayloadTooLargeError,
  PayloadVersionError,
  PermanentError,
  QueueFullError,
  TaskCancelledError,
  TaskExistsError,
  TaskFailedError,
  TaskNotFoundError,
  TooManyWaitingError,
  UnserializableError,
  WorkerClosingError,
  WrongTaskError,
} from "./errors.ts";
export type { JournalSource, QueueJournal } from "./memory/journal.ts";
export { MEMORY_STORE_DEFAULTS, memoryStore } from "./memory/memory-store.ts";
export type { MemoryStoreOptions } from "./memory/memory-store.ts";
export type { MemoryBounds } from "./memory/task-board.ts";
export { queueMetrics } from "./metrics.ts";
export { queueGauges } from "./queue-gauges.ts";
export type {
  QueueGauges,
  QueueGaugesOptions,
  QueueMeasuredEvent,
  QueueMeasureFailedEvent,
} from "./queue-gauges.ts";
export type {
  Enqueued,
  EnqueueCallOptions,
  EnqueuedTask,
  EnqueueItem,
  EnqueueOptions,
  GroupOptions,
  WhenFull,
} from "./queue/enqueue-options.ts";
export { flow } from "./queue/flow.ts";
export type { EnqueuedFlow, FlowNode, FlowOptions } from "./queue/flow.ts";
export { QUEUE_DEFAULTS } from "./queue/queue-contract.ts";
export type {
  DrainOptions,
  DrainReport,
  Queue,
  QueueOptions,
  TaskIds,
  WaitOptions,
} from "./queue/queue-contract.ts";
export { queue } from "./queue/queue.ts";
export type { TasksAddedEvent } from "./queue/tasks-added.ts";
export type {
  ChildOutcome,
  ChildOutcomes,
  ChildTask,
  JoinOptions,
  SpawnOptions,
} from "./steps/children-contract.ts";
export type { Steps, WaitForOptions, WaitForTimeout } from "./steps/contract.ts";
export {
  ChildFailedError,
  EventTimeoutError,
  SagaCancelledError,
  SagaCompensatedError,
  SagaDeadlineError,
  SagaOpenError,
  SagaParkedError,
  StepMismatchError,
  StepNotReachedError,
  TaskSuspendedError,
  TooManyStepsError,
} from "./steps/errors.ts";
export { SAGA_DEFAULTS } from "./steps/saga-contract.ts";
export type { CompensationContext, Saga, SagaOptions, SagaStepOptions } from "./steps/saga-contract.ts";
export { STEP_LIMITS } from "./steps/step-contract.ts";
export type { StepContext, StepEndedEvent, StepOptions } from "./steps/step-contract.ts";
export { EXPIRED, MAX_SCHEDULES, MAX_TENANTS, MAX_WEIGHT, turnCost } from "./store/store.ts";
export type * from "./store/store.ts";
export type { PayloadFormat, PayloadOf } from "./task/payload-format.ts";
export { decodePayload, encodePayload } from "./task/payload.ts";
export type { Payload } from "./task/payload.ts";
export { uuidV7 } from "./task/task-id.ts";
export type { RandomBytes, TaskIdMaker } from "./task/task-id.ts";
export type { TraceCarrier } from "./task/task-meta.ts";
export { hasEnded } from "./task/task-status.ts";
export type {
  TaskEvent,
  TaskEventBody,
  TaskFailure,
  TaskPhase,
  TaskState,
  TaskStatus,
} from "./task/task-status.ts";
export type { ProcessingTask, SendingTasks, TaskTracing } from "./task/task-tracing.ts";
export { defineTask, TASK_DEFAULTS } from "./task/task.ts";
export type { TaskDefinition, TaskOptions, Upcaster } from "./task/task.ts";
export { explicitWaits } from "./worker/explicit-waits.ts";
export { handle } from "./worker/handler.ts";
export type { TaskContext, TaskHandler } from "./worker/handler.ts";
export { WORKER_DEFAULTS } from "./worker/worker-contract.ts";
export type {
  LeftBehindEvent,
  RunEndedEvent,
  Worker,
  WorkerCloseReport,
  WorkerErrorEvent,
  WorkerOptions,
} from "./worker/worker-contract.ts";
export { worker } from "./worker/worker.ts";
