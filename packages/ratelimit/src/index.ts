// @holdfast/ratelimit: how much, how often, how many at once; decided exactly, in memory or for a fleet.
export { RATE_LIMITER_DEFAULTS, rateLimiter } from "./limiter.ts";
export { rateLimitMetrics } from "./metrics.ts";
export type {
  AcquireOptions,
  AskOptions,
  IsUnion,
  LimiterPolicyOptions,
  RateLimitDecisionEvent,
  RateLimiter,
  RateLimiterOptions,
  RateLimiterSnapshot,
  RateLimitStoreEvent,
  RateLimitWaitedEvent,
  Reservation,
  SubjectOf,
  TakeOptions,
} from "./contract.ts";
export { decided } from "./decision.ts";
export type { Allowed, Decision, Refused, Standing } from "./decision.ts";
export { RateLimitedError, RateLimitQueueFullError } from "./errors.ts";

export { tokenBucket } from "./limits/token-bucket.ts";
export type { TokenBucketOptions } from "./limits/token-bucket.ts";
export { leakyBucket } from "./limits/leaky-bucket.ts";
export type { LeakyBucketOptions } from "./limits/leaky-bucket.ts";
export { gcra } from "./limits/gcra.ts";
export type { GcraOptions } from "./limits/gcra.ts";
export { fixedWindow } from "./limits/fixed-window.ts";
export type { WindowOptions } from "./limits/fixed-window.ts";
export { slidingWindow } from "./limits/sliding-window.ts";
export { slidingLog } from "./limits/sliding-log.ts";
export { concurrency, CONCURRENCY_DEFAULTS } from "./limits/concurrency.ts";
export type { ConcurrencyOptions } from "./limits/concurrency.ts";
export type { Limit, LimitAlgorithm, LimitOptions, LimitState, Rule, RuleKind } from "./limits/limit.ts";

export { leakyQueue } from "./leaky-queue.ts";
export type { LeakyQueue, LeakyQueueOptions } from "./leaky-queue.ts";

export { MEMORY_RATE_LIMIT_DEFAULTS, memoryRateLimitStore } from "./memory/memory-store.ts";
export type { MemoryRateLimitStoreOptions } from "./memory/memory-store.ts";
export { LEASED_STORE_DEFAULTS, leasedStore } from "./leased/leased-store.ts";
export type { LeasedStoreOptions } from "./leased/leased-store.ts";
export { costFor, keyFor } from "./store.ts";
export type {
  Cost,
  Ledger,
  LedgerCall,
  Loan,
  RateLimitStore,
  RateLimitStoreTraits,
  Subject,
  TakeMode,
} from "./store.ts";
