// What makes a cache share its values with other processes.
import type { Duration } from "@holdfast/core";
import { optionsOf } from "@holdfast/core";
import type { Cacheable, CacheKey, CacheOptions, CacheShare } from "../contract.ts";
import { settingsOf } from "../settings.ts";
import { jsonCodec } from "./codec.ts";
import { SharedCache } from "./shared-cache.ts";
import type { CacheStore } from "./store.ts";

export interface SharedTierOptions {
  /** Where the values are kept: `redisCacheStore`. Stays open: it is its owner's. */
  readonly store: CacheStore;
  /**
   * How long after an invalidation was acknowledged another process may still answer with the old value from its memory,
   * whatever happens to the connections. With 0, each read asks the store, which sends nothing that the reader has.
   * @defaultValue "1s"
   */
  readonly coherence?: Duration;
  /** How long a process that loads or writes may be silent before another takes over. From 10 ms. @defaultValue "10s" */
  readonly lease?: Duration;
  /**
   * What a read does while the store is down. `load`: asks the source, one load for each key and process at a time, and
   * keeps what it brings for no longer than `coherence`. `fail`: rejects with `STORE_UNAVAILABLE`.
   * @defaultValue "load"
   */
  readonly onStoreError?: "load" | "fail";
  /** Changes with the shape of the values: what was kept under another is never read. @defaultValue 1 */
  readonly schema?: number | string;
}

/** The defaults of `sharedTier`. */
export const SHARED_TIER_DEFAULTS: { readonly coherenceMs: number; readonly leaseMs: number } = {
  coherenceMs: 1_000,
  leaseMs: 10_000,
};

/**
 * Shares a cache with all that have the same name, schema and store: one load for each key in the whole fleet, and
 * invalidations that reach every process. Each process keeps in its memory what it has read.
 *
 * Invalidations, `set` and `put` are over when the store has acknowledged them; if it cannot, they reject with
 * `STORE_UNAVAILABLE`, and an invalidation is made good before the process reads from the store again.
 *
 * @throws InvalidOptionError when an option is out of range.
 *
 * @example
 * ```ts no-run: needs a Redis
 * import { Redis } from "ioredis";
 * import { createCache, sharedTier } from "@holdfast/cache";
 * import { redisCacheStore } from "@holdfast/cache/redis";
 * import { REDIS_CLIENT_OPTIONS } from "@holdfast/core/redis";
 *
 * const client = new Redis("redis://127.0.0.1:6379", REDIS_CLIENT_OPTIONS);
 * const users = createCache({
 *   name: "users",
 *   load: async (id: string) => ({ id, team: "red" }),
 *   share: sharedTier({ store: redisCacheStore({ client }) }),
 * });
 * ```
 */
export function sharedTier(options: SharedTierOptions): CacheShare {
  const check = optionsOf("sharedTier");
  const { store } = check.object("options", options);
  if (typeof check.object("store", store).open !== "function")
    check.refuse("store", store, "a store such as redisCacheStore({ client })");
  const { coherenceMs, leaseMs } = SHARED_TIER_DEFAULTS;
  const { schema = 1 } = options;
  const tier = {
    coherenceMs: check.duration("coherence", options.coherence, {}, coherenceMs),
    leaseMs: check.duration("lease", options.lease, { min: 10 }, leaseMs),
    onStoreError: check.oneOf("onStoreError", options.onStoreError, ["load", "fail"], "load"),
  };
  // As JSON, no name can pass for another with a schema.
  const regionOf = (name: string) => store.open(`${JSON.stringify(name)}:${JSON.stringify(schema)}`);
  return {
    open: <Key extends CacheKey, Value extends Cacheable>(cacheOptions: CacheOptions<Key, Value>) => {
      const settings = settingsOf(cacheOptions);
      const { codec = jsonCodec<Value>() } = cacheOptions;
      const region = regionOf(settings.name);
      return new SharedCache<Key, Value>(cacheOptions, settings, { ...tier, codec, region });
    },
  };
}
