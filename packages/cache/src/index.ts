// @holdfast/cache: a cache whose invalidation always wins.
export { createCache } from "./create-cache.ts";
export type { Eviction } from "./eviction/entry-table.ts";
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
