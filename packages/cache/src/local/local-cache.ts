// The cache of one process: what readers are given, and when the source is asked.
import { asError, ClosedError, notify, optionsOf, TimeoutError } from "@holdfast/core";
import type {
  Cache,
  Cacheable,
  CacheKey,
  CacheOptions,
  CacheSnapshot,
  GetOptions,
  InvalidateOnOptions,
  InvalidationTargets,
  SetOptions,
} from "../contract.ts";
import { followFeed } from "../follow-feed.ts";
import { textOfKey } from "../key.ts";
import type { Flight, Landing } from "../load/flights.ts";
import { Flights } from "../load/flights.ts";
import { Loader } from "../load/run-load.ts";
import { within } from "../load/within.ts";
import type { Entry } from "../memory/entry.ts";
import { MemoryTier } from "../memory/memory-tier.ts";
import type { CacheSettings } from "../settings.ts";
import { checkTags } from "../settings.ts";

/** A write of a key that is under way; several that overlap are one. */
interface Write {
  active: number;
  /** Another write, a set or an invalidation came meanwhile: which of them the source has last is not known. */
  isOverlapped: boolean;
}

export class LocalCache<Key extends CacheKey, Value extends Cacheable> implements Cache<Key, Value> {
  readonly name: string;
  readonly #memory: MemoryTier<Key, Value>;
  readonly #loader: Loader<Key, Value>;
  readonly #flights: Flights<Key, Value>;
  readonly #writes = new Map<string, Write>();
  readonly #counts = { hits: 0, staleHits: 0, misses: 0 };
  #closed = false;

  constructor(
    private readonly options: CacheOptions<Key, Value>,
    private readonly settings: CacheSettings<Key, Value>,
  ) {
    this.name = settings.name;
    this.#memory = new MemoryTier(options, settings);
    this.#loader = new Loader(options, settings);
    this.#flights = new Flights(this.#loader, (key, id, value, flight, loadMs) =>
      this.#land(key, id, value, flight, loadMs),
    );
  }

  get(key: Key, options?: GetOptions): Promise<Value | undefined> {
    // Not an async function: a hit is one promise and no more.
    try {
      const id = textOfKey(key);
      const entry = this.#memory.get(id);
      if (
        entry !== undefined &&
        options === undefined &&
        entry.checkedAt === this.#memory.generations.latest &&
        this.settings.clock.monotonic() < entry.quietUntil
      ) {
        this.#counts.hits += 1;
        return Promise.resolve(entry.value);
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
    const entry = this.#usable(textOfKey(key), now);
    return entry !== undefined && now < entry.freshUntil ? entry.value : undefined;
  }

  async refresh(key: Key, options?: GetOptions): Promise<Value | undefined> {
    this.#checkOpen();
    const id = textOfKey(key);
    if (this.options.load === undefined) return this.peek(key);
    // One that began before may not know what the caller knows.
    this.#flights.doom(id);
    const flight = this.#load(key, id, "refresh");
    const { value } = await this.#wait(flight, this.settings.hardDeadlineMs, options?.signal);
    return value;
  }

  async set(key: Key, value: Value, options: SetOptions = {}): Promise<void> {
    this.#checkOpen();
    const id = textOfKey(key);
    this.#overlap(id);
    this.#flights.doom(id);
    this.#keep(key, id, value, { generation: this.#memory.generations.latest, loadMs: 0, ...options });
  }

  async put(key: Key, value: Value, options: SetOptions = {}): Promise<void> {
    this.#checkOpen();
    const id = textOfKey(key);
    const { write } = this.options;
    if (write === undefined)
      optionsOf("put").refuse("write", undefined, "a function of the cache, which changes the source");
    const record = this.#beginWrite(id);
    const { latest: generation } = this.#memory.generations;
    try {
      await write?.(key, value);
    } catch (error) {
      // It may have happened all the same.
      record.isOverlapped = true;
      throw error;
    } finally {
      // What has read the source meanwhile may have seen it before or after.
      this.#flights.doom(id);
      record.active -= 1;
      if (record.active === 0) this.#writes.delete(id);
      if (record.isOverlapped) this.#memory.delete(id);
    }
    if (!record.isOverlapped) this.#keep(key, id, value, { generation, loadMs: 0, ...options });
  }

  async invalidate(key: Key): Promise<void> {
    const id = textOfKey(key);
    this.#overlap(id);
    this.#flights.doom(id);
    this.#memory.delete(id);
  }

  async invalidateTag(tag: string): Promise<void> {
    checkTags([tag]);
    this.#memory.generations.invalidate(tag);
  }

  async clear(): Promise<void> {
    for (const write of this.#writes.values()) write.isOverlapped = true;
    this.#flights.doomAll();
    this.#memory.clear();
  }

  invalidateOn<Event>(
    feed: AsyncIterable<Event>,
    targetsOf: (event: Event) => InvalidationTargets<Key> | undefined,
    options?: InvalidateOnOptions,
  ): Promise<void> {
    return followFeed(this, this.settings.clock, feed, targetsOf, options?.signal);
  }

  snapshot(): CacheSnapshot {
    return {
      kind: "cache",
      name: this.name,
      entries: this.#memory.size,
      bytes: this.#memory.bytes,
      loading: this.#flights.size,
      ...this.#counts,
      ...this.#loader.counts,
    };
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#memory.clear();
    this.#flights.abandonAll(new ClosedError(`the cache ${this.name}`));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** What is not simply there. */
  async #consider(key: Key, id: string, signal: AbortSignal | undefined): Promise<Value | undefined> {
    this.#checkOpen();
    signal?.throwIfAborted();
    const { latest: askedAt } = this.#memory.generations;
    const now = this.settings.clock.monotonic();
    const entry = this.#usable(id, now);
    if (entry !== undefined) {
      entry.usedAt = now;
      if (now < Math.max(entry.freshUntil, entry.quietUntil)) {
        this.#counts.hits += 1;
        if (this.#memory.isToBeRenewed(entry, now)) this.#renew(key, id, entry);
        return entry.value;
      }
      if (now < entry.staleUntil) {
        this.#counts.staleHits += 1;
        this.#renew(key, id, entry);
        return entry.value;
      }
    }
    this.#counts.misses += 1;
    if (this.options.load === undefined) return undefined;
    return this.#loadFor(key, id, askedAt, entry, signal);
  }

  async #loadFor(
    key: Key,
    id: string,
    askedAt: number,
    stale: Entry<Value> | undefined,
    signal: AbortSignal | undefined,
  ): Promise<Value | undefined> {
    const { softDeadlineMs, hardDeadlineMs } = this.settings;
    for (;;) {
      const flight = this.#flights.get(id) ?? this.#load(key, id, stale === undefined ? "miss" : "refresh");
      let landing: Landing<Value>;
      try {
        landing = await this.#wait(flight, stale === undefined ? hardDeadlineMs : softDeadlineMs, signal);
      } catch (error) {
        if (signal?.aborted === true || !this.#isKept(id, stale)) throw error;
        this.#counts.staleHits += 1;
        this.#memory.pause(stale);
        return stale.value;
      }
      // Joined a load that began before an invalidation which was over when this reader asked: then it is loaded again.
      const { generations } = this.#memory;
      if (flight.generation >= askedAt || generations.isGood(landing.tags, flight.generation))
        return landing.value;
    }
  }

  /** Whether a reader may be given it since loading has failed. */
  #isKept(id: string, stale: Entry<Value> | undefined): stale is Entry<Value> {
    const now = this.settings.clock.monotonic();
    return stale !== undefined && now < stale.errorUntil && this.#usable(id, now) === stale;
  }

  /** In the background, unless somebody does so already. */
  #renew(key: Key, id: string, entry: Entry<Value>): void {
    if (this.options.load === undefined || this.#flights.get(id) !== undefined) return;
    this.#load(key, id, "refresh").promise.catch((error: unknown) => {
      this.#memory.pause(entry);
      const { onLoadError } = this.options;
      notify(onLoadError && ((failure: Error) => onLoadError(failure, key)), asError(error));
    });
  }

  #load(key: Key, id: string, reason: "miss" | "refresh"): Flight<Value> {
    return this.#flights.begin(key, id, {
      reason,
      generation: this.#memory.generations.latest,
      startedAt: this.settings.clock.monotonic(),
      previous: this.#memory.peek(id)?.value,
    });
  }

  /** A load has brought it. @returns its tags, and whether it may be kept: it was not invalidated meanwhile. */
  #land(
    key: Key,
    id: string,
    value: Value | undefined,
    flight: Flight<Value>,
    loadMs: number,
  ): Landing<Value> {
    const tags = this.#memory.tagsOf(value, key);
    const { generation } = flight;
    const isKept = !flight.isDoomed && this.#memory.generations.isGood(tags, generation);
    if (isKept) this.#keep(key, id, value, { tags, generation, loadMs });
    return { value, tags, isKept };
  }

  #wait(flight: Flight<Value>, limitMs: number, signal: AbortSignal | undefined): Promise<Landing<Value>> {
    return within(flight.promise, {
      clock: this.settings.clock,
      limitMs,
      late: () => new TimeoutError(`${this.name}: waiting for a load`, limitMs),
      signal,
    });
  }

  /** The entry, if it may be given to anybody at all. */
  #usable(id: string, now: number): Entry<Value> | undefined {
    const entry = this.#memory.find(id, now);
    if (entry === undefined || this.#memory.isGood(entry)) return entry;
    this.#memory.delete(id);
    return undefined;
  }

  #keep(
    key: Key,
    id: string,
    value: Value | undefined,
    from: SetOptions & { readonly generation: number; readonly loadMs: number },
  ): void {
    const { generation, loadMs } = from;
    const tags = from.tags === undefined ? this.#memory.tagsOf(value, key) : checkTags(from.tags);
    const ttlMs = this.#memory.ttlOf(value, key, from.ttl);
    if (ttlMs <= 0 || !this.#memory.generations.isGood(tags, generation)) {
      this.#memory.delete(id);
      return;
    }
    const now = this.settings.clock.monotonic();
    const keeping = { value, tags, generation, loadMs, ttlMs, from: now, version: 0 };
    const entry = this.#memory.entryOf(keeping);
    this.#memory.put(key, id, entry);
  }

  #beginWrite(id: string): Write {
    const known = this.#writes.get(id);
    if (known !== undefined) {
      known.active += 1;
      known.isOverlapped = true;
      return known;
    }
    const write = { active: 1, isOverlapped: false };
    this.#writes.set(id, write);
    return write;
  }

  #overlap(id: string): void {
    const write = this.#writes.get(id);
    if (write !== undefined) write.isOverlapped = true;
  }

  #checkOpen(): void {
    if (this.#closed) throw new ClosedError(`the cache ${this.name}`);
  }
}
