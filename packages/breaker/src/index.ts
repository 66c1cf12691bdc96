// @holdfast/breaker: stops calling what fails, and tries carefully whether it is back.
export { circuitBreaker } from "./circuit/circuit-breaker.ts";
export type {
  CircuitBreaker,
  CircuitBreakerOptions,
  CircuitReason,
  CircuitRefusedEvent,
  CircuitSnapshot,
  CircuitState,
  CircuitStateEvent,
  OpenTimeOptions,
  Permit,
  RampUpOptions,
  Refusal,
} from "./circuit/contract.ts";
export { CircuitOpenError } from "./circuit/errors.ts";
export { OPEN_TIME_DEFAULTS } from "./circuit/open-time.ts";
export { CIRCUIT_BREAKER_DEFAULTS } from "./circuit/settings.ts";
export { consecutive } from "./circuit/rules/consecutive.ts";
export type { ConsecutiveOptions } from "./circuit/rules/consecutive.ts";
export { countWindow } from "./circuit/rules/count-window.ts";
export type { CountWindowOptions } from "./circuit/rules/count-window.ts";
export type { RateOptions } from "./circuit/rules/rates.ts";
export type { TripCounter, TripRule, WindowCounts } from "./circuit/rules/rule.ts";
export { timeWindow } from "./circuit/rules/time-window.ts";
export type { TimeWindowOptions } from "./circuit/rules/time-window.ts";
export { CIRCUIT_BREAKERS_DEFAULTS, circuitBreakers } from "./keyed/circuit-breakers.ts";
export type { CircuitBreakers, CircuitBreakersOptions } from "./keyed/circuit-breakers.ts";
export { MEMORY_CIRCUIT_STORE_DEFAULTS, memoryCircuitStore } from "./shared/memory-circuit-store.ts";
export type { MemoryCircuitStoreOptions } from "./shared/memory-circuit-store.ts";
export { SHARE_DEFAULTS } from "./shared/share.ts";
export type {
  CircuitShareEvent,
  ShareCloseReport,
  ShareOptions,
  ShareSnapshot,
  ShareStatus,
} from "./shared/share.ts";
export type {
  CircuitStore,
  CircuitStoreCallOptions,
  CircuitStoreTraits,
  CircuitVote,
  CircuitWatcher,
  FleetCircuit,
  FleetOpenTime,
  ProbeAnswer,
  ProbeEnd,
  ProbeEndAnswer,
  ProbeRequest,
} from "./shared/store.ts";
export { breakerMetrics } from "./metrics.ts";
export { bulkhead } from "./bulkhead/bulkhead.ts";
export type {
  Bulkhead,
  BulkheadOptions,
  BulkheadRefusedEvent,
  BulkheadRunOptions,
} from "./bulkhead/bulkhead.ts";
export { BulkheadFullError } from "./bulkhead/errors.ts";
export { FAIR_BULKHEAD_DEFAULTS, fairBulkhead } from "./bulkhead/fair-bulkhead.ts";
export type { FairBulkhead, FairBulkheadOptions } from "./bulkhead/fair-bulkhead.ts";
export { ADAPTIVE_CONCURRENCY_DEFAULTS, adaptiveConcurrency } from "./adaptive/adaptive-concurrency.ts";
export type { AdaptiveConcurrency, AdaptiveConcurrencyOptions } from "./adaptive/adaptive-concurrency.ts";
export { aimd } from "./adaptive/aimd.ts";
export type { AimdOptions } from "./adaptive/aimd.ts";
export type { AdaptiveLimit, LimitAlgorithm, LimitBounds, LimitSample } from "./adaptive/algorithm.ts";
export { gradient2, GRADIENT2_DEFAULTS } from "./adaptive/gradient2.ts";
export type { Gradient2Options } from "./adaptive/gradient2.ts";
export {
  ADAPTIVE_THROTTLE_DEFAULTS,
  adaptiveThrottle,
  ThrottledError,
} from "./throttle/adaptive-throttle.ts";
export type { AdaptiveThrottleOptions, ThrottledEvent } from "./throttle/adaptive-throttle.ts";
