// The cache: what readers are given, and when the source is asked.
import { asError, ClosedError, notify, optionsOf, TimeoutError, toMs } from "@holdfast/core";
import { LRUCache } from "lru-cache";
import type {
  Cache,
  Cacheable,
  CacheKey,
  CacheOptions,
  CacheSnapshot,
  GetOptions,
  SetOptions,
} from "./contract.ts";
import type { Entry } from "./entry.ts";
import { drawsRefresh } from "./entry.ts";
import type { Flight, Landing } from "./flights.ts";
import { Flights } from "./flights.ts";
import { Generations } from "./generations.ts";
import { textOfKey } from "./key.ts";
import type { CacheSettings } from "./settings.ts";
import { checkTags, settingsOf } from "./settings.ts";
import { within } from "./within.ts";

/**
 * A cache in this process. Whoever asks for what is not there waits for one loader; an invalidation always wins: what was
 * loaded before it is neither kept nor given to anybody who asks after it.
 *
 * @throws InvalidOptionError when an option is out of range.
 *
 * @example
 * ```ts
 * import { createCache } from "@holdfast/cache";
 *
 * let asked = 0;
 * const users = createCache({
 *   load: async (id: string) => ({ id, asked: (asked += 1) }),
 *   ttl: "5m",
 *   tags: (user) => [`user:${user.id}`],
 * });
 * await Promise.all([users.get("42"), users.get("42")]);
 * asked; // => 1
 * users.invalidateTag("user:42");
 * await users.get("42"); // => { id: "42", asked: 2 }
 * ```
 */
export function createCache<Key extends CacheKey, Value extends Cacheable>(
  options: CacheOptions<Key, Value>,
): Cache<Key, Value> {
  return new ReadThroughCache(options, settingsOf(options));
}

/** A write of a key that is under way; several that overlap are one. */
interface Write {
  active: number;
  /** Another write, a set or an invalidation came meanwhile: which of them the source has last is not known. */
  isOverlapped: boolean;
}

class ReadThroughCache<Key extends CacheKey, Value extends Cacheable> implements Cache<Key, Value> {
  readonly name: string;
  readonly #entries: LRUCache<string, Entry<Value>>;
  readonly #generations = new Generations();
  readonly #flights: Flights<Key, Value>;
  readonly #writes = new Map<string, Write>();
  readonly #counts = { hits: 0, staleHits: 0, misses: 0 };
  #closed = false;

  constructor(
    private readonly options: CacheOptions<Key, Value>,
    private readonly settings: CacheSettings<Key, Value>,
  ) {
    this.name = settings.name;
    const { maxEntries, maxBytes } = settings;
    this.#flights = new Flights(options, settings, (key, id, value, flight, loadMs) =>
      this.#land(key, id, value, flight, loadMs),
    );
    this.#entries = new LRUCache({ max: maxEntries, ...(maxBytes > 0 ? { maxSize: maxBytes } : {}) });
  }

  get(key: Key, options?: GetOptions): Promise<Value | undefined> {
    // Not an async function: a hit is one promise and no more.
    try {
      const id = textOfKey(key);
      const entry = this.#entries.get(id);
      if (
        entry !== undefined &&
        options === undefined &&
        entry.checkedAt === this.#generations.latest &&
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

  set(key: Key, value: Value, options: SetOptions = {}): void {
    this.#checkOpen();
    const id = textOfKey(key);
    this.#overlap(id);
    this.#flights.doom(id);
    this.#keep(key, id, value, { generation: this.#generations.latest, loadMs: 0, ...options });
  }

  async put(key: Key, value: Value, options: SetOptions = {}): Promise<void> {
    this.#checkOpen();
    const id = textOfKey(key);
    const { write } = this.options;
    if (write === undefined)
      optionsOf("put").refuse("write", undefined, "a function of the cache, which changes the source");
    const record = this.#beginWrite(id);
    const { latest: generation } = this.#generations;
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
      if (record.isOverlapped) this.#entries.delete(id);
    }
    if (!record.isOverlapped) this.#keep(key, id, value, { generation, loadMs: 0, ...options });
  }

  invalidate(key: Key): boolean {
    const id = textOfKey(key);
    this.#overlap(id);
    this.#flights.doom(id);
    return this.#entries.delete(id);
  }

  invalidateTag(tag: string): void {
    checkTags([tag]);
    this.#generations.invalidate(tag);
  }

  clear(): void {
    for (const write of this.#writes.values()) write.isOverlapped = true;
    this.#flights.doomAll();
    this.#entries.clear();
  }

  snapshot(): CacheSnapshot {
    return {
      kind: "cache",
      name: this.name,
      entries: this.#entries.size,
      bytes: this.#entries.calculatedSize,
      loading: this.#flights.size,
      ...this.#counts,
      loads: this.#flights.begun,
      loadFailures: this.#flights.failed,
    };
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#entries.clear();
    this.#flights.abandonAll(new ClosedError(`the cache ${this.name}`));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** What is not simply there. */
  async #consider(key: Key, id: string, signal: AbortSignal | undefined): Promise<Value | undefined> {
    this.#checkOpen();
    signal?.throwIfAborted();
    const { latest: askedAt } = this.#generations;
    const now = this.settings.clock.monotonic();
    const entry = this.#usable(id, now);
    if (entry !== undefined) {
      entry.usedAt = now;
      if (now < Math.max(entry.freshUntil, entry.quietUntil)) {
        this.#counts.hits += 1;
        if (this.#isToBeRenewed(entry, now)) this.#renew(key, id, entry);
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
        this.#pause(stale);
        return stale.value;
      }
      // Joined a load that began before an invalidation which was over when this reader asked: then it is loaded again.
      if (flight.generation >= askedAt || this.#generations.isGood(landing.tags, flight.generation))
        return landing.value;
    }
  }

  /** Whether a reader may be given it since loading has failed. */
  #isKept(id: string, stale: Entry<Value> | undefined): stale is Entry<Value> {
    const now = this.settings.clock.monotonic();
    return stale !== undefined && now < stale.errorUntil && this.#usable(id, now) === stale;
  }

  #isToBeRenewed(entry: Entry<Value>, now: number): boolean {
    const { beta, refreshShare, random } = this.settings;
    if (now < entry.quietUntil) return false;
    if (beta > 0) return drawsRefresh(entry.freshUntil - now, entry.loadMs, beta, random());
    return refreshShare < 1;
  }

  /** In the background, unless somebody does so already. */
  #renew(key: Key, id: string, entry: Entry<Value>): void {
    if (this.options.load === undefined || this.#flights.get(id) !== undefined) return;
    this.#load(key, id, "refresh").promise.catch((error: unknown) => {
      this.#pause(entry);
      const { onLoadError } = this.options;
      notify(onLoadError && ((failure: Error) => onLoadError(failure, key)), asError(error));
    });
  }

  /** Loading has failed: not again at once. */
  #pause(entry: Entry<Value>): void {
    const until = this.settings.clock.monotonic() + this.settings.errorPauseMs;
    entry.quietUntil = Math.min(until, Math.max(entry.freshUntil, entry.staleUntil, entry.errorUntil));
  }

  #load(key: Key, id: string, reason: "miss" | "refresh"): Flight<Value> {
    const { latest: generation } = this.#generations;
    return this.#flights.begin(key, id, reason, generation, this.#entries.peek(id)?.value);
  }

  /** A load has brought it. @returns its tags, and whether it may be kept: it was not invalidated meanwhile. */
  #land(
    key: Key,
    id: string,
    value: Value | undefined,
    flight: Flight<Value>,
    loadMs: number,
  ): Landing<Value> {
    const tags = this.#tagsOf(value, key);
    const { generation } = flight;
    const isKept = !flight.isDoomed && this.#generations.isGood(tags, generation);
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
    const entry = this.#entries.get(id);
    if (entry === undefined) return undefined;
    const { latest } = this.#generations;
    const isGood = entry.checkedAt === latest || this.#generations.isGood(entry.tags, entry.generation);
    const isUsed = now - entry.usedAt < this.settings.maxIdleMs;
    const isLasting = now < Math.max(entry.freshUntil, entry.staleUntil, entry.errorUntil);
    if (isGood && isUsed && isLasting) {
      entry.checkedAt = latest;
      return entry;
    }
    this.#entries.delete(id);
    return undefined;
  }

  #keep(
    key: Key,
    id: string,
    value: Value | undefined,
    from: SetOptions & { readonly generation: number; readonly loadMs: number },
  ): void {
    const { settings } = this;
    const now = settings.clock.monotonic();
    const tags = from.tags === undefined ? this.#tagsOf(value, key) : checkTags(from.tags);
    const fullMs =
      value === undefined
        ? settings.negativeMs
        : from.ttl === undefined
          ? settings.ttlOf(value, key)
          : toMs(from.ttl);
    const ttlMs = fullMs * (1 - settings.jitter * settings.random());
    if (ttlMs <= 0 || !this.#generations.isGood(tags, from.generation)) {
      this.#entries.delete(id);
      return;
    }
    const freshUntil = now + ttlMs;
    const isSimple = settings.beta === 0 && settings.maxIdleMs === Infinity;
    const entry: Entry<Value> = {
      value,
      tags,
      generation: from.generation,
      checkedAt: this.#generations.latest,
      freshUntil,
      staleUntil: freshUntil + settings.staleMs,
      errorUntil: freshUntil + settings.errorMs,
      quietUntil: isSimple ? now + ttlMs * settings.refreshShare : 0,
      loadMs: from.loadMs,
      usedAt: now,
    };
    if (settings.maxBytes === 0) this.#entries.set(id, entry);
    else this.#entries.set(id, entry, { size: this.#sizeOf(value, key) });
  }

  #tagsOf(value: Value | undefined, key: Key): readonly string[] {
    return value === undefined ? [] : checkTags(this.options.tags?.(value, key) ?? []);
  }

  #sizeOf(value: Value | undefined, key: Key): number {
    return value === undefined ? 1 : Math.max(1, Math.ceil(this.options.sizeOf?.(value, key) ?? 1));
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
