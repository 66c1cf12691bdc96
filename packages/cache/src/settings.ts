// Options of a cache, checked.
import type { Clock, Random } from "@holdfast/core";
import { optionsOf, systemClock, systemRandom, toMs } from "@holdfast/core";
import type { Cacheable, CacheKey, CacheOptions } from "./contract.ts";

/** The defaults of `createCache`. */
export const CACHE_DEFAULTS: {
  readonly ttlMs: number;
  readonly jitter: number;
  readonly errorPauseMs: number;
  readonly hardDeadlineMs: number;
  readonly abandonAfterMs: number;
  readonly maxEntries: number;
} = {
  ttlMs: 60_000,
  jitter: 0.1,
  errorPauseMs: 1_000,
  hardDeadlineMs: 30_000,
  abandonAfterMs: 300_000,
  maxEntries: 10_000,
};

/** Times in milliseconds. */
export interface CacheSettings<Key, Value> {
  readonly name: string;
  readonly ttlOf: (value: Value, key: Key) => number;
  readonly jitter: number;
  readonly negativeMs: number;
  readonly staleMs: number;
  readonly errorMs: number;
  readonly errorPauseMs: number;
  readonly softDeadlineMs: number;
  readonly hardDeadlineMs: number;
  readonly abandonAfterMs: number;
  /** Share of the time to live from which on it is renewed; 1: not before its end. */
  readonly refreshShare: number;
  /** Of XFetch; 0: none. */
  readonly beta: number;
  readonly maxIdleMs: number;
  readonly maxEntries: number;
  /** 0: no such bound. */
  readonly maxBytes: number;
  readonly clock: Clock;
  readonly random: Random;
}

/** @throws InvalidOptionError */
export function settingsOf<Key extends CacheKey, Value extends Cacheable>(
  options: CacheOptions<Key, Value>,
): CacheSettings<Key, Value> {
  const check = optionsOf("createCache");
  check.object("options", options);
  const defaults = CACHE_DEFAULTS;
  for (const name of ["load", "write", "tags", "sizeOf", "onLoadError"] as const)
    check.function(name, options[name] as (() => unknown) | undefined);
  if (options.policy !== undefined && typeof options.policy.run !== "function")
    check.refuse("policy", options.policy, 'a policy such as timeout("2s")');
  const { codec, eviction, share } = options;
  if (eviction !== undefined && typeof eviction.table !== "function")
    check.refuse("eviction", eviction, "lru() or wTinyLfu()");
  if (codec !== undefined && (typeof codec.encode !== "function" || typeof codec.decode !== "function"))
    check.refuse("codec", codec, "an object with encode and decode");
  if (share !== undefined && typeof share.open !== "function")
    check.refuse("share", share, "what sharedTier({ store }) gives");
  const { ttl } = options;
  const fixedMs = typeof ttl === "function" ? 0 : check.duration("ttl", ttl, {}, defaults.ttlMs);
  const ahead = options.refreshAhead;
  const shares = { min: 0.01, max: 1 };
  const hardDeadlineMs = check.duration(
    "hardDeadline",
    options.hardDeadline,
    { min: 1 },
    defaults.hardDeadlineMs,
  );
  const maxBytes = check.integer("maxBytes", options.maxBytes, { min: 0 }, 0);
  if (maxBytes > 0 && options.sizeOf === undefined)
    check.refuse("sizeOf", undefined, "a function, since there is a maxBytes");
  return {
    name: check.string("name", options.name, 255, "cache"),
    ttlOf: typeof ttl === "function" ? (value, key) => toMs(ttl(value, key)) : () => fixedMs,
    jitter: check.number("jitter", options.jitter, { min: 0, max: 1 }, defaults.jitter),
    negativeMs: check.duration("negativeTtl", options.negativeTtl, {}, 0),
    staleMs: check.duration("staleWhileRevalidate", options.staleWhileRevalidate, {}, 0),
    errorMs: check.duration("staleIfError", options.staleIfError, {}, 0),
    errorPauseMs: check.duration("errorPause", options.errorPause, {}, defaults.errorPauseMs),
    softDeadlineMs:
      options.softDeadline === undefined
        ? hardDeadlineMs
        : check.duration("softDeadline", options.softDeadline, { max: hardDeadlineMs }),
    hardDeadlineMs,
    abandonAfterMs: check.duration(
      "abandonAfter",
      options.abandonAfter,
      { min: hardDeadlineMs },
      Math.max(hardDeadlineMs, defaults.abandonAfterMs),
    ),
    refreshShare: typeof ahead === "number" ? check.number("refreshAhead", ahead, shares) : 1,
    beta:
      typeof ahead === "object" ? check.number("refreshAhead.beta", ahead.beta, { min: 0.01, max: 100 }) : 0,
    maxIdleMs:
      options.maxIdle === undefined ? Infinity : check.duration("maxIdle", options.maxIdle, { min: 1 }),
    maxEntries: check.integer(
      "maxEntries",
      options.maxEntries,
      { min: 1, max: 100_000_000 },
      defaults.maxEntries,
    ),
    maxBytes,
    clock: options.clock ?? systemClock,
    random: check.function("random", options.random) ?? systemRandom,
  };
}

/** @throws InvalidOptionError unless they are few and short. */
export function checkTags(tags: readonly string[]): readonly string[] {
  const check = optionsOf("cache");
  if (!Array.isArray(tags) || tags.length > 100) check.refuse("tags", tags, "a list of at most 100 texts");
  for (const tag of tags) check.string("tags", tag);
  return tags;
}
