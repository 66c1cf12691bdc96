// @holdfast/cache: a cache whose invalidation always wins.
export { createCache } from "./create-cache.ts";
export { LOADS_IN_BATCHES_DEFAULTS, loadsInBatches } from "./load/batches.ts";
export type { LoadsInBatchesOptions } from "./load/batches.ts";
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
