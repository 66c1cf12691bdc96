// @holdfast/cache: a cache whose invalidation always wins.
export { createCache } from "./create-cache.ts";
export { LOADS_IN_BATCHES_DEFAULTS, loadsInBatches } from "./load/batches.ts";
export type { LoadsInBatchesOptions } from "./load/batches.ts";
export { lru, wTinyLfu } from "./eviction/eviction.ts";
export type { Eviction } from "./eviction/eviction.ts";
export type { EntryTable, TableBounds } from "./eviction/table.ts";
export { cacheMetrics } from "./metrics.ts";
export { CACHE_DEFAULTS } from "./settings.ts";
export type {
  Cache,
  Cacheable,
  CacheCodec,
  CacheKey,
  CacheLoadEvent,
  CacheOptions,
  CacheShare,
  CacheSnapshot,
  CacheStoreEvent,
  GetOptions,
  InvalidateOnOptions,
  InvalidationTargets,
  LoadContext,
  SetOptions,
} from "./contract.ts";

export { SHARED_TIER_DEFAULTS, sharedTier } from "./shared/shared-tier.ts";
export type { SharedTierOptions } from "./shared/shared-tier.ts";
export { compressed } from "./shared/compressed.ts";
export type { CompressedOptions } from "./shared/compressed.ts";
export { jsonCodec } from "./shared/codec.ts";
export { MEMORY_CACHE_STORE_DEFAULTS, memoryCacheStore } from "./shared/memory-store.ts";
export type { MemoryCacheStoreOptions } from "./shared/memory-store.ts";
export type {
  CacheChanges,
  CacheCursor,
  CacheLease,
  CacheRead,
  CacheReading,
  CacheRegion,
  CacheStore,
  CacheStoreTraits,
  RegionWatcher,
  SharedEntry,
  SharedValue,
} from "./shared/store.ts";
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
