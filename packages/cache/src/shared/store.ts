// What the caches of many processes keep together, and the rules by which none of them is given an old value.

/**
 * Keeps values for several processes. A value is a text that the store does not understand. All numbers that it gives
 * out in one region for one key (versions, fences) rise.
 *
 * The one rule that all others serve: what was loaded before an invalidation is not kept after it. Whoever loads holds a
 * lease with a fence; an invalidation, a `set` and the beginning of a write take all leases of the key away, and a value
 * comes in only under a lease that is still there. A tag's invalidation is a number; a value is good as long as none of
 * its tags has a number above its own.
 */
export interface CacheStore {
  readonly traits: CacheStoreTraits;
  /** The part of the store that all caches of this name share. */
  open(name: string): CacheRegion;
  /** Later calls reject with `CLOSED`. */
  close(): Promise<void>;
}

export interface CacheStoreTraits {
  /** Whether other processes see what is kept there. */
  readonly shared: boolean;
  /** Whose clock decides when a value or a lease ends. */
  readonly clock: "caller" | "server";
}

/** Every call settles within the store's deadline, and rejects with `STORE_UNAVAILABLE` if it cannot be answered. */
export interface CacheRegion {
  /** What is there, and on demand the lease to load it. */
  read(request: CacheRead): Promise<CacheReading>;
  /** Keeps what was loaded under a lease, and ends the lease. @returns false, and keeps nothing, if the lease is gone or a tag was invalidated since. */
  fill(id: string, fence: number, value: SharedValue): Promise<boolean>;
  /** Keeps it whatever is there, and takes all leases away. @returns its version. */
  set(id: string, value: SharedValue): Promise<number>;
  /** Says that the source is about to be changed: takes all leases away, and gives none until all writes of the key have ended. @returns the fence of this one. */
  beginWrite(id: string, leaseMs: number): Promise<number>;
  /**
   * The source was changed to `value`, or it is not known. Keeps it only if no other write, `set` or invalidation came
   * between; otherwise the key is empty afterwards. @returns whether it was kept.
   */
  endWrite(id: string, fence: number, value: SharedValue | undefined): Promise<boolean>;
  /** Prolongs a lease or a write from now on. @returns false if it is gone. */
  renew(id: string, fence: number, leaseMs: number): Promise<boolean>;
  /** Ends a lease without a value; what is stale there is not tried again for `pauseMs`. */
  release(id: string, fence: number, pauseMs: number): Promise<void>;
  invalidate(id: string): Promise<void>;
  /** In one step, however many values depend on it. */
  invalidateTag(tag: string): Promise<void>;
  clear(): Promise<void>;
  /** What has been changed since, by `set`, writes and invalidations; loads are none. */
  changes(since: CacheCursor | undefined): Promise<CacheChanges>;
  /** Calls back when there may be something to ask {@link changes} for; promises nothing. @returns what ends it. */
  watch(watcher: RegionWatcher): () => void;
}

export interface RegionWatcher {
  readonly changed: () => void;
  /** The connection was lost: until the next answer nothing is known of what others do. */
  readonly lost: () => void;
}

export interface CacheRead {
  readonly id: string;
  /** The version that the reader holds already; 0: none. Its value is not sent again. */
  readonly have: number;
  /**
   * When to give a lease, unless somebody holds it: `missing`: there is nothing fresh. `same`: nor anything newer than
   * `have`. `always`: even if somebody holds it, who loses it.
   */
  readonly lease: "never" | "missing" | "same" | "always";
  readonly leaseMs: number;
  /** Who asks, to be told which leases are its own. */
  readonly holder: string;
  /** The fence of a lease that counts as none: the reader's own, of which it knows nothing. 0: no such. */
  readonly instead: number;
  /** A value that is not read for so long is gone; Infinity: however long. */
  readonly idleMs: number;
}

export interface CacheReading {
  readonly entry: SharedEntry | undefined;
  readonly lease: CacheLease;
}

export type CacheLease =
  /** Not asked for, or somebody has just failed to load what is stale here. */
  | { readonly kind: "none" }
  | { readonly kind: "granted"; readonly fence: number }
  /** Somebody loads; or `isOwn`, the holder who asks. */
  | { readonly kind: "held"; readonly fence: number; readonly forMs: number; readonly isOwn: boolean }
  /** Somebody changes the source: who loads now may keep nothing. */
  | { readonly kind: "writing"; readonly forMs: number };

/** A value and its times, which begin when the store gets it. */
export interface SharedValue {
  /** `undefined`: it is known that there is none. */
  readonly payload: string | undefined;
  readonly tags: readonly string[];
  readonly freshMs: number;
  /** How long it is there, at least `freshMs`. */
  readonly lastMs: number;
  /** How long it took to load. */
  readonly loadMs: number;
}

export interface SharedEntry {
  readonly version: number;
  /** The reader has this version: `payload` and `tags` are left out. */
  readonly isSame: boolean;
  readonly payload: string | undefined;
  readonly tags: readonly string[];
  /** How much longer it is fresh; below 0 for how long it has not been. */
  readonly freshForMs: number;
  /** How long it was to be fresh in all. */
  readonly freshMs: number;
  readonly loadMs: number;
}

/** How far a reader has followed the changes; only the store understands it. */
export type CacheCursor = string;

export interface CacheChanges {
  readonly cursor: CacheCursor;
  /** More has happened than can be told, or than the store remembers: anything may have changed. */
  readonly isReset: boolean;
  /** Keys, with the version from which on they are as changed. */
  readonly keys: readonly (readonly [id: string, version: number])[];
  readonly tags: readonly string[];
}
