// What a cache can be told, what it does, and what it publishes.
import type { Clock, Duration, Policy, Random } from "@holdfast/core";
import type { Eviction } from "./eviction/eviction.ts";

/** A text, a number, or several of them together: no two keys are the same unless all their parts are. */
export type CacheKey = string | number | readonly (string | number)[];

/** Whatever can be cached. `undefined` says that there is none. */
export type Cacheable = string | number | boolean | bigint | symbol | object | null;

/** What a loader is told. */
export interface LoadContext<Value> {
  /** Aborts when the cache is closed, or when the loader has been given up. */
  readonly signal: AbortSignal;
  /** The value that is being replaced, for loaders that can ask whether it has changed. */
  readonly previous: Value | undefined;
  /** Why it loads: nothing there, or something that is to be renewed. */
  readonly reason: "miss" | "refresh";
}

export interface CacheOptions<Key extends CacheKey, Value extends Cacheable> {
  /** For messages and events. @defaultValue "cache" */
  readonly name?: string;
  /** Gets what is not there from its source; `undefined` where there is none. @defaultValue none: the cache is filled by hand */
  readonly load?: (
    key: Key,
    context: LoadContext<Value>,
  ) => Value | undefined | PromiseLike<Value | undefined>;
  /** Changes the source, for `put`. */
  readonly write?: (key: Key, value: Value) => unknown;
  /** Around each load: a breaker, a retry, a bulkhead. */
  readonly policy?: Policy;
  /** How long a value is fresh. @defaultValue "1m" */
  readonly ttl?: Duration | ((value: Value, key: Key) => Duration);
  /** Up to this share shorter, by draw, so that what was loaded together does not expire together. 0 to 1. @defaultValue 0.1 */
  readonly jitter?: number;
  /** How long it is remembered that there is none. @defaultValue 0: it is asked each time */
  readonly negativeTtl?: Duration;
  /** How long after its time a value is still served, while a new one is loaded. @defaultValue 0 */
  readonly staleWhileRevalidate?: Duration;
  /** How long after its time a value is still served when loading fails. @defaultValue 0 */
  readonly staleIfError?: Duration;
  /** How long loading is not tried again while a stale value is served since it has failed. @defaultValue "1s" */
  readonly errorPause?: Duration;
  /** How long a caller waits for a load while there is a stale value that `staleIfError` would allow. @defaultValue as long as for any load */
  readonly softDeadline?: Duration;
  /** How long a caller waits for a load. The load goes on, and there is still only one. @defaultValue "30s" */
  readonly hardDeadline?: Duration;
  /** After which a load that has not ended is given up, and another may begin. Not below `hardDeadline`. @defaultValue "5m" */
  readonly abandonAfter?: Duration;
  /**
   * Renews before its time what is asked for. A share of the time to live: from then on, one reader's question starts a
   * load. Or `{ beta }`: by draw, the likelier the nearer its end and the longer the last load took (XFetch; Vattani,
   * Chierichetti and Lowenstein, 2015). @defaultValue not before its time
   */
  readonly refreshAhead?: number | { readonly beta: number };
  /** A value that nobody has asked for in this time is gone, fresh or not. @defaultValue no such time */
  readonly maxIdle?: Duration;
  /** What a value depends on, for `invalidateTag`. At most 100 of at most 255 characters. */
  readonly tags?: (value: Value, key: Key) => readonly string[];
  /** Which entries go when there is no room: `wTinyLfu()` withstands scans. @defaultValue lru() */
  readonly eviction?: Eviction;
  /** Most entries; beyond it others are dropped. 1 to 100,000,000. @defaultValue 10_000 */
  readonly maxEntries?: number;
  /** Most bytes of all values together, as `sizeOf` tells. @defaultValue no such bound */
  readonly maxBytes?: number;
  /** Bytes of a value, roughly. Has to be said with `maxBytes`. */
  readonly sizeOf?: (value: Value, key: Key) => number;
  /** Shares the values with other processes: `sharedTier({ store })`. @defaultValue this process keeps its own */
  readonly share?: CacheShare;
  /** How values are written for those who share them. @defaultValue jsonCodec() */
  readonly codec?: CacheCodec<Value>;
  /** Told of loads that fail in the background, where no caller is. What it throws changes nothing. */
  readonly onLoadError?: (error: Error, key: Key) => void;
  /** @defaultValue systemClock */
  readonly clock?: Clock;
  /** @defaultValue systemRandom */
  readonly random?: Random;
}

/** Made by `sharedTier`. */
export interface CacheShare {
  readonly open: <Key extends CacheKey, Value extends Cacheable>(
    options: CacheOptions<Key, Value>,
  ) => Cache<Key, Value>;
}

/** Writes values as texts and reads them. What `decode` throws at is loaded anew. */
export interface CacheCodec<Value> {
  readonly encode: (value: Value) => string | PromiseLike<string>;
  readonly decode: (text: string) => Value | PromiseLike<Value>;
}

export interface GetOptions {
  /** The caller leaves; the load goes on for the others, and for those that come. */
  readonly signal?: AbortSignal | undefined;
}

export interface SetOptions {
  /** @defaultValue the cache's */
  readonly ttl?: Duration;
  /** @defaultValue what `tags` of the cache says */
  readonly tags?: readonly string[];
}

/** What an event is about. */
export interface InvalidationTargets<Key> {
  readonly keys?: readonly Key[];
  readonly tags?: readonly string[];
}

export interface InvalidateOnOptions {
  readonly signal?: AbortSignal | undefined;
}

/**
 * A cache. `set`, `invalidate`, `invalidateTag` and `clear` take effect in this process at once, and in all that share the
 * cache when their promise resolves; it rejects with `STORE_UNAVAILABLE` if the shared store has not acknowledged them.
 */
export interface Cache<Key extends CacheKey, Value extends Cacheable> {
  readonly name: string;
  /**
   * The value: from the cache, or loaded by one loader for all who ask meanwhile. Never one that was loaded before an
   * invalidation that was over when this was called.
   *
   * @throws what the loader fails with; TimeoutError when it takes longer than the hard deadline; the signal's reason.
   */
  get(key: Key, options?: GetOptions): Promise<Value | undefined>;
  /** Each as {@link get}: one that fails spoils no other. In the order of the keys. */
  getMany(keys: readonly Key[], options?: GetOptions): Promise<PromiseSettledResult<Value | undefined>[]>;
  /** What is there and fresh, at once; loads nothing. */
  peek(key: Key): Value | undefined;
  /** Loads anew, whatever is there; what is there is served to others meanwhile. */
  refresh(key: Key, options?: GetOptions): Promise<Value | undefined>;
  /** Puts a value there, for cache-aside. Loads that are under way do not replace it. */
  set(key: Key, value: Value, options?: SetOptions): Promise<void>;
  /**
   * Write-through: changes the source with `write`, then puts the value there. If that fails, or another write of the key
   * has overlapped, nothing is left there: the next reader loads.
   *
   * @throws what `write` fails with.
   */
  put(key: Key, value: Value, options?: SetOptions): Promise<void>;
  /** Removes it. A load that is under way leaves nothing behind. */
  invalidate(key: Key): Promise<void>;
  /** Removes everything that depends on the tag: in the time of one number, however much that is. */
  invalidateTag(tag: string): Promise<void>;
  /** Removes everything. */
  clear(): Promise<void>;
  /**
   * Invalidates what events of a feed are about, one after the other: the next one is asked for when the last one has been
   * acknowledged. Ends with the feed, or when the signal aborts. If the feed fails, everything is removed, since what was
   * missed is not known.
   *
   * @throws what the feed fails with.
   */
  invalidateOn<Event>(
    feed: AsyncIterable<Event>,
    targetsOf: (event: Event) => InvalidationTargets<Key> | undefined,
    options?: InvalidateOnOptions,
  ): Promise<void>;
  snapshot(): CacheSnapshot;
  /** Aborts the loaders' signals, and takes no more calls. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** A cache's present state; plain JSON. */
export interface CacheSnapshot {
  readonly kind: "cache";
  readonly name: string;
  readonly entries: number;
  readonly bytes: number;
  /** Loads under way. */
  readonly loading: number;
  readonly hits: number;
  /** Hits of a value whose time was over. */
  readonly staleHits: number;
  readonly misses: number;
  readonly loads: number;
  readonly loadFailures: number;
  /** Of a cache that is shared. */
  readonly share?: {
    /** Reads that were answered by what another process had kept. */
    readonly hits: number;
    /** Reads that the store did not answer. */
    readonly failures: number;
    /** Invalidations that the store has not acknowledged yet. */
    readonly owed: number;
    /** Whether memory may answer without the store being asked. */
    readonly isTrusted: boolean;
  };
}

/** Published as `holdfast:cache:load` when a load has ended. The key is no part of it. */
export interface CacheLoadEvent {
  readonly cache: string;
  readonly reason: "miss" | "refresh";
  /** `dropped`: it was invalidated meanwhile, and nothing was kept. */
  readonly outcome: "kept" | "none" | "dropped" | "failed" | "abandoned";
  readonly durationMs: number;
  readonly error?: Error;
}

/** Published as `holdfast:cache:store` when the store of a shared cache did not answer a read. */
export interface CacheStoreEvent {
  readonly cache: string;
  /** What is done instead: the source is asked, or the caller is told. */
  readonly answer: "load" | "fail";
  readonly error: Error;
}
