// The cache of one process among several: memory first, then what all share, then one load for the whole fleet.
import { asError, channel, ClosedError, hasCode, notify, TimeoutError } from "@holdfast/core";
import type {
  Cache,
  Cacheable,
  CacheCodec,
  CacheKey,
  CacheOptions,
  CacheSnapshot,
  CacheStoreEvent,
  GetOptions,
  InvalidateOnOptions,
  InvalidationTargets,
  SetOptions,
} from "../contract.ts";
import { followFeed } from "../follow-feed.ts";
import { textOfKey } from "../key.ts";
import { Loader } from "../load/run-load.ts";
import { within } from "../load/within.ts";
import type { Entry } from "../memory/entry.ts";
import { MemoryTier } from "../memory/memory-tier.ts";
import type { CacheSettings } from "../settings.ts";
import { AloneLoads } from "./alone-loads.ts";
import type { LeasedLoad } from "./leased-loads.ts";
import { LeasedLoads } from "./leased-loads.ts";
import type { Seen } from "./looks.ts";
import { Looks } from "./looks.ts";
import { Ongoing } from "./ongoing.ts";
import { Owed } from "./owed.ts";
import { SharedChanges } from "./shared-changes.ts";
import type { CacheRegion } from "./store.ts";
import { Trust } from "./trust.ts";

/** How a cache shares, checked. */
export interface SharedSettings<Value> {
  readonly region: CacheRegion;
  readonly coherenceMs: number;
  readonly leaseMs: number;
  readonly onStoreError: "load" | "fail";
  readonly codec: CacheCodec<Value>;
}

/** How long to wait before asking again whether another process has loaded it: longer each time. */
const FIRST_PAUSE_MS = 5;
const LONGEST_PAUSE_MS = 250;

const storeFailed = /* @__PURE__ */ channel<CacheStoreEvent>("cache", "store");

export class SharedCache<Key extends CacheKey, Value extends Cacheable> implements Cache<Key, Value> {
  readonly name: string;
  readonly #memory: MemoryTier<Key, Value>;
  readonly #loader: Loader<Key, Value>;
  readonly #leased: LeasedLoads<Key, Value>;
  readonly #alone: AloneLoads<Key, Value>;
  readonly #trust: Trust<Value>;
  readonly #changes: SharedChanges<Key, Value>;
  readonly #ongoing = new Ongoing();
  readonly #owed: Owed;
  readonly #looks: Looks<Key, Value>;
  readonly #renewing = new Set<string>();
  readonly #counts = { hits: 0, staleHits: 0, misses: 0, sharedHits: 0, storeFailures: 0 };
  #closed = false;

  constructor(
    private readonly options: CacheOptions<Key, Value>,
    private readonly settings: CacheSettings<Key, Value>,
    private readonly shared: SharedSettings<Value>,
  ) {
    this.name = settings.name;
    this.#memory = new MemoryTier(options, settings);
    this.#loader = new Loader(options, settings);
    this.#owed = new Owed(shared.region, settings.clock);
    this.#leased = new LeasedLoads({
      loader: this.#loader,
      memory: this.#memory,
      settings,
      shared,
      ongoing: this.#ongoing,
    });
    this.#looks = new Looks({
      isLoading: options.load !== undefined,
      idleMs: settings.maxIdleMs,
      clock: settings.clock,
      memory: this.#memory,
      leased: this.#leased,
      ongoing: this.#ongoing,
      owed: this.#owed,
      shared,
    });
    this.#alone = new AloneLoads(this.#loader, this.#memory, settings, shared.coherenceMs);
    this.#trust = new Trust({
      region: shared.region,
      clock: settings.clock,
      coherenceMs: shared.coherenceMs,
      memory: this.#memory,
      ongoing: this.#ongoing,
      reads: () => this.#counts.hits + this.#counts.staleHits + this.#counts.misses,
    });
    this.#changes = new SharedChanges({
      write: options.write,
      settings,
      shared,
      memory: this.#memory,
      leased: this.#leased,
      alone: this.#alone,
      ongoing: this.#ongoing,
      owed: this.#owed,
      trust: this.#trust,
    });
  }

  get(key: Key, options?: GetOptions): Promise<Value | undefined> {
    // Not an async function: a hit is one promise and no more.
    try {
      const id = textOfKey(key);
      const entry = this.#memory.get(id);
      if (
        entry !== undefined &&
        options === undefined &&
        entry.checkedAt === this.#memory.generations.latest
      ) {
        const now = this.settings.clock.monotonic();
        if (now < entry.quietUntil && now < this.#trust.until) {
          this.#counts.hits += 1;
          return Promise.resolve(entry.value);
        }
      }
      return this.#consider(key, id, options?.signal);
    } catch (error) {
      return Promise.reject(error as Error);
    }
  }

  getMany(keys: readonly Key[], options?: GetOptions): Promise<PromiseSettledResult<Value | undefined>[]> {
    return Promise.allSettled(keys.map((key) => this.get(key, options)));
  }

  peek(key: Key): Value | undefined {
    const now = this.settings.clock.monotonic();
    const entry = this.#memory.find(textOfKey(key), now);
    return entry !== undefined && now < entry.freshUntil && this.#trust.isGood(entry, now)
      ? entry.value
      : undefined;
  }

  async refresh(key: Key, options: GetOptions = {}): Promise<Value | undefined> {
    this.#checkOpen();
    const id = textOfKey(key);
    if (this.options.load === undefined) return this.get(key, options);
    const { clock, hardDeadlineMs } = this.settings;
    const untilMs = clock.monotonic() + hardDeadlineMs;
    let load: LeasedLoad<Value> | undefined;
    try {
      ({ load } = await this.#wait(this.#looks.look(key, id, "always"), untilMs, options.signal));
    } catch (error) {
      this.#storeFailed(error);
    }
    if (load === undefined) return this.#loadAlone(key, id, untilMs, options.signal);
    return (await this.#wait(load.promise, untilMs, options.signal)).value;
  }

  async set(key: Key, value: Value, options: SetOptions = {}): Promise<void> {
    this.#checkOpen();
    await this.#changes.set(key, textOfKey(key), value, options);
  }

  async put(key: Key, value: Value, options: SetOptions = {}): Promise<void> {
    this.#checkOpen();
    await this.#changes.put(key, textOfKey(key), value, options);
  }

  async invalidate(key: Key): Promise<void> {
    this.#checkOpen();
    await this.#changes.invalidate(textOfKey(key));
  }

  async invalidateTag(tag: string): Promise<void> {
    this.#checkOpen();
    await this.#changes.invalidateTag(tag);
  }

  async clear(): Promise<void> {
    this.#checkOpen();
    await this.#changes.clear();
  }

  invalidateOn<Event>(
    feed: AsyncIterable<Event>,
    targetsOf: (event: Event) => InvalidationTargets<Key> | undefined,
    options?: InvalidateOnOptions,
  ): Promise<void> {
    return followFeed(this, this.settings.clock, feed, targetsOf, options?.signal);
  }

  snapshot(): CacheSnapshot {
    const { sharedHits, storeFailures, ...counts } = this.#counts;
    return {
      kind: "cache",
      name: this.name,
      entries: this.#memory.size,
      bytes: this.#memory.bytes,
      loading: this.#leased.size + this.#alone.size,
      ...counts,
      ...this.#loader.counts,
      share: {
        hits: sharedHits,
        failures: storeFailures,
        owed: this.#owed.size,
        isTrusted: this.settings.clock.monotonic() < this.#trust.until,
      },
    };
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    const closed = new ClosedError(`the cache ${this.name}`);
    this.#trust.close();
    this.#memory.clear();
    this.#alone.abandonAll(closed);
    this.#leased.abandonAll(closed);
    // What other processes have to know should not be lost with this one, if it can be helped.
    await this.#owed.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** What is not simply there. */
  async #consider(key: Key, id: string, signal: AbortSignal | undefined): Promise<Value | undefined> {
    this.#checkOpen();
    signal?.throwIfAborted();
    this.#trust.wake();
    const now = this.settings.clock.monotonic();
    const entry = this.#memory.find(id, now);
    if (entry === undefined || !this.#trust.isGood(entry, now)) return this.#ask(key, id, signal);
    entry.usedAt = now;
    if (now < Math.max(entry.freshUntil, entry.quietUntil)) {
      this.#counts.hits += 1;
      if (this.#memory.isToBeRenewed(entry, now)) this.#renew(key, id, entry);
      return entry.value;
    }
    if (now >= entry.staleUntil) return this.#ask(key, id, signal);
    this.#counts.staleHits += 1;
    this.#renew(key, id, entry);
    return entry.value;
  }

  /** Asks the store, and the source if it has to be. */
  async #ask(key: Key, id: string, signal: AbortSignal | undefined): Promise<Value | undefined> {
    const { clock, hardDeadlineMs, softDeadlineMs } = this.settings;
    const askedAt = clock.monotonic();
    const untilMs = askedAt + hardDeadlineMs;
    const softUntilMs = askedAt + softDeadlineMs;
    let pauseMs = FIRST_PAUSE_MS;
    let isCounted = false;
    let instead = 0;
    for (;;) {
      let seen: Seen<Value>;
      try {
        seen = await this.#wait(this.#looks.look(key, id, "missing", instead), untilMs, signal);
      } catch (error) {
        signal?.throwIfAborted();
        this.#storeFailed(error);
        if (!isCounted) this.#counts.misses += 1;
        return this.#loadAlone(key, id, untilMs, signal);
      }
      const { entry, isFresh, lease, load } = seen;
      const now = clock.monotonic();
      if (entry !== undefined && (isFresh || now < Math.max(entry.staleUntil, entry.quietUntil))) {
        if (!isCounted) this.#counts[isFresh ? "sharedHits" : "staleHits"] += 1;
        if (load !== undefined) this.#inBackground(key, load);
        return entry.value;
      }
      if (!isCounted) this.#counts.misses += 1;
      isCounted = true;
      const fallback = entry !== undefined && now < entry.errorUntil ? entry : undefined;
      if (load !== undefined) {
        try {
          const landing = await this.#wait(load.promise, fallback ? softUntilMs : untilMs, signal);
          // A load that began before this reader asked may have begun before what it is to see.
          if (landing.isKept || lease.kind === "granted") return landing.value;
          continue;
        } catch (error) {
          signal?.throwIfAborted();
          if (fallback === undefined) throw error;
          return this.#standIn(fallback);
        }
      }
      if (lease.kind === "none" && fallback !== undefined) return this.#standIn(fallback);
      if (lease.kind !== "held") return this.#loadAlone(key, id, untilMs, signal);
      if (fallback !== undefined && now >= softUntilMs) return this.#standIn(fallback);
      if (now >= untilMs)
        throw new TimeoutError(`${this.name}: waiting for a load elsewhere`, hardDeadlineMs);
      // The answer that gave it to this process was lost.
      if (lease.isOwn) {
        instead = lease.fence;
        continue;
      }
      // Another process loads; or it has died, and then its lease ends.
      await clock.sleep(Math.min(pauseMs, lease.forMs + 1, Math.max(1, untilMs - now)), signal);
      pauseMs = Math.min(LONGEST_PAUSE_MS, pauseMs * 2);
    }
  }

  /** In the background, unless somebody does so already. */
  #renew(key: Key, id: string, entry: Entry<Value>): void {
    if (this.options.load === undefined || this.#renewing.has(id)) return;
    this.#renewing.add(id);
    const isFresh = this.settings.clock.monotonic() < entry.freshUntil;
    void this.#looks
      .look(key, id, isFresh ? "same" : "missing")
      .then(({ load }) => {
        // Somebody else does it: this process asks again in a while.
        if (load === undefined) this.#memory.pause(entry);
        return load?.promise;
      })
      .catch((error: unknown) => {
        this.#memory.pause(entry);
        this.#tellFailure(key, error);
      })
      .finally(() => this.#renewing.delete(id));
  }

  #inBackground(key: Key, load: LeasedLoad<Value>): void {
    load.promise.catch((error: unknown) => this.#tellFailure(key, error));
  }

  #tellFailure(key: Key, error: unknown): void {
    const { onLoadError } = this.options;
    notify(onLoadError && ((failure: Error) => onLoadError(failure, key)), asError(error));
  }

  #standIn(entry: Entry<Value>): Value | undefined {
    this.#counts.staleHits += 1;
    this.#memory.pause(entry);
    return entry.value;
  }

  /** Without the store: what it brings is kept only for as long as an old value may be served. */
  async #loadAlone(
    key: Key,
    id: string,
    untilMs: number,
    signal: AbortSignal | undefined,
  ): Promise<Value | undefined> {
    if (this.options.load === undefined) return undefined;
    return this.#alone.load(key, id, (promise) => this.#wait(promise, untilMs, signal));
  }

  /** @throws what it is given, unless the cache can do without the store. */
  #storeFailed(error: unknown): void {
    if (!hasCode(error, "STORE_UNAVAILABLE")) throw error;
    this.#counts.storeFailures += 1;
    const { onStoreError: answer } = this.shared;
    if (storeFailed.hasSubscribers) storeFailed.publish({ cache: this.name, answer, error });
    if (answer === "fail") throw error;
  }

  #wait<T>(promise: Promise<T>, untilMs: number, signal: AbortSignal | undefined): Promise<T> {
    const { clock, hardDeadlineMs } = this.settings;
    return within(promise, {
      clock,
      limitMs: Math.max(0, untilMs - clock.monotonic()),
      late: () => new TimeoutError(`${this.name}: waiting for a load`, hardDeadlineMs),
      signal,
    });
  }

  #checkOpen(): void {
    if (this.#closed) throw new ClosedError(`the cache ${this.name}`);
  }
}
