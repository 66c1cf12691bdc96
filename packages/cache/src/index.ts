// @holdfast/cache: a cache whose invalidation always wins.
export { createCache } from "./create-cache.ts";
export { cacheMetrics } from "./metrics.ts";
export { CACHE_DEFAULTS } from "./settings.ts";
export type {
  Cache,
  Cacheable,
  CacheKey,
  CacheLoadEvent,
  CacheOptions,
  CacheSnapshot,
  GetOptions,
  LoadContext,
  SetOptions,
} from "./contract.ts";
export { WriteBehindFullError, WriteUnreadableError } from "./write-behind/errors.ts";
export { memoryWriteLog } from "./write-behind/memory/memory-log.ts";
export type { MemoryWriteLogOptions } from "./write-behind/memory/memory-log.ts";
export { WRITE_BEHIND_DEFAULTS } from "./write-behind/settings.ts";
export { writeBehind } from "./write-behind/write-behind.ts";
export type {
  DeadLetter,
  DeadLetters,
  WriteBehind,
  WriteBehindEvent,
  WriteBehindOptions,
  WriteBehindSnapshot,
  WriteCallOptions,
  WriteCodec,
  WriteContext,
  WriteEntry,
  WriteLogFailedEvent,
  WriteVerdict,
} from "./write-behind/contract.ts";
export type {
  AppendOutcome,
  AppendRequest,
  Claim,
  Claimed,
  ClaimRef,
  ClaimRequest,
  DeadEntry,
  SettleOutcome,
  Settlement,
  WriteLog,
  WriteLogStats,
  WriteLogTraits,
} from "./write-behind/log.ts";
