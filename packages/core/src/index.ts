// @holdfast/core: time, errors, policies, telemetry, and the contracts everything above stands on.
export { HoldfastError, hasCode, isHoldfastError } from "./errors/holdfast-error.ts";
export type { HoldfastErrorOptions, Problem } from "./errors/holdfast-error.ts";
export {
  asError,
  ClosedError,
  describeValue,
  FallbackFailedError,
  HedgeLostError,
  InvalidOptionError,
  LeaseLostError,
  NonErrorThrownError,
  ResultRefusedError,
  StoreUnavailableError,
  TimeoutError,
} from "./errors/errors.ts";
export type { StoreFailureOptions } from "./errors/errors.ts";
export { optionsOf } from "./options.ts";
export type { OptionReader, Range } from "./options.ts";
export { seededRandom, systemRandom } from "./random.ts";
export type { Random } from "./random.ts";

export { sleepOn } from "./time/clock.ts";
export type { Clock, Timer, TimerOptions } from "./time/clock.ts";
export { formatDuration, MAX_DURATION_MS, toMs } from "./time/duration.ts";
export type { Duration, DurationUnit } from "./time/duration.ts";
export { createSystemClock, systemClock } from "./time/system-clock.ts";

export { channel } from "./telemetry/channel.ts";
export type { Channel } from "./telemetry/channel.ts";
export { notify } from "./telemetry/notify.ts";
export { coreMetrics } from "./metrics/core-metrics.ts";
export { errorTypeOf } from "./metrics/error-type.ts";
export { channelMetrics } from "./metrics/metric-table.ts";
export type {
  ChannelRule,
  LabelReaders,
  LabelValue,
  MetricRule,
  MetricTable,
  MetricType,
  TableRow,
  TraceRule,
} from "./metrics/metric-table.ts";
export { PROMETHEUS_DEFAULTS, prometheus } from "./metrics/prometheus.ts";
export type { Prometheus, PrometheusOptions } from "./metrics/prometheus.ts";

export { contextOf } from "./policies/context.ts";
export type { Context, RunOptions } from "./policies/context.ts";
export type { ExtraOf, Policy, PolicyDescription, PolicySnapshot, Task } from "./policies/policy.ts";
export { timeout } from "./policies/timeout.ts";
export type { TimeoutEvent, TimeoutOptions, TimeoutStrategy } from "./policies/timeout.ts";

export { RETRY_BUDGET_DEFAULTS, retryBudget } from "./policies/retry-budget.ts";
export type { RetryBudget, RetryBudgetOptions, RetryBudgetSnapshot } from "./policies/retry-budget.ts";
export { BACKOFF_DEFAULTS, constant, delays, exponential, linear } from "./policies/backoff.ts";
export type {
  Backoff,
  BackoffStep,
  ConstantBackoffOptions,
  DecorrelatedJitter,
  ExponentialBackoffOptions,
  LinearBackoffOptions,
} from "./policies/backoff.ts";
export type { Jitter } from "./policies/jitter.ts";
export { RETRY_DEFAULTS, retry } from "./policies/retry.ts";
export type { RetryEvent, RetryExhaustedEvent, RetryOptions, RetryStop } from "./policies/retry.ts";
export { retryAfterOf } from "./policies/retry-after.ts";
export { explainOrder } from "./policies/explain.ts";
export type { OrderWarning, PipelineExplanation } from "./policies/explain.ts";
export { pipeline } from "./policies/pipeline.ts";
export type { Pipeline, PipelineWarningEvent } from "./policies/pipeline.ts";

export { fallback } from "./policies/fallback.ts";
export type { FallbackEvent, FallbackOptions, Substitute } from "./policies/fallback.ts";
export { HEDGE_DEFAULTS, hedge } from "./policies/hedge.ts";
export type {
  HedgeDelay,
  HedgeDeniedEvent,
  HedgeEvent,
  HedgeOptions,
  HedgeSettledEvent,
} from "./policies/hedge.ts";
export { chaosBehavior, chaosFault, chaosLatency, chaosResult } from "./policies/chaos.ts";
export type { ChaosEvent, ChaosOptions } from "./policies/chaos.ts";

export { mediaTypeOf, readBody, readJson } from "./http/body.ts";
export { withMiddleware } from "./http/handler.ts";
export type { Handler, Middleware } from "./http/handler.ts";
export { remoteAddressOf, withRemoteAddress } from "./http/remote-address.ts";
export { problemResponse, RequestError, retryAfterHeader } from "./http/problem-response.ts";

export {
  IdempotencyInFlightError,
  IdempotencyMismatchError,
  InDoubtError,
  ReplayedFailureError,
  ResultNotKeptError,
} from "./idempotency/errors.ts";
export { fingerprintOf } from "./idempotency/fingerprint.ts";
export { idempotency } from "./idempotency/idempotency.ts";
export type {
  Idempotency,
  IdempotencyEvent,
  Idempotent,
  IdempotentCall,
  IdempotentContext,
} from "./idempotency/contract.ts";
export { MEMORY_IDEMPOTENCY_DEFAULTS, memoryIdempotencyStore } from "./idempotency/memory-store.ts";
export type { MemoryIdempotencyStoreOptions } from "./idempotency/memory-store.ts";
export { IDEMPOTENCY_KEY_DEFAULTS, idempotencyKey } from "./idempotency/middleware.ts";
export type { IdempotencyKeyOptions } from "./idempotency/middleware.ts";
export type { FailureRule, OperationFailure } from "./idempotency/operation-failure.ts";
export { IDEMPOTENCY_DEFAULTS } from "./idempotency/options.ts";
export type { IdempotencyOptions } from "./idempotency/options.ts";
export type {
  BeginOutcome,
  BeginRequest,
  IdempotencyStore,
  IdempotencyStoreTraits,
  KeyLease,
  KeyRef,
  RecoveryPoint,
  StoreCallOptions,
  StoreWriteOptions,
  WriteOutcome,
} from "./idempotency/store.ts";

export { health, HEALTH_DEFAULTS } from "./health/health.ts";
export type {
  DependencyHealth,
  Health,
  HealthCheckOptions,
  HealthEvent,
  HealthOptions,
  HealthProbe,
  HealthReport,
  HealthStatus,
} from "./health/health.ts";
export { shutdown } from "./lifecycle/shutdown.ts";
export type {
  HookOutcome,
  Shutdown,
  ShutdownHook,
  ShutdownHookOptions,
  ShutdownOptions,
  ShutdownProcess,
  ShutdownReport,
} from "./lifecycle/shutdown.ts";
