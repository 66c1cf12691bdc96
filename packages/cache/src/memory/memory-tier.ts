// The values that a process holds: within their bounds, for their time, told apart by what was invalidated since.
import { toMs } from "@holdfast/core";
import type { Cacheable, CacheKey, CacheOptions } from "../contract.ts";
import { lru } from "../eviction/eviction.ts";
import type { EntryTable } from "../eviction/table.ts";
import type { CacheSettings } from "../settings.ts";
import { checkTags } from "../settings.ts";
import type { Entry } from "./entry.ts";
import { drawsRefresh, endOf } from "./entry.ts";
import { Generations } from "./generations.ts";

/** A value to be kept, and since when its times run. */
export interface Keeping<Value> {
  readonly value: Value | undefined;
  readonly tags: readonly string[];
  readonly generation: number;
  readonly version: number;
  readonly loadMs: number;
  /** When its time to live began. */
  readonly from: number;
  readonly ttlMs: number;
  /** Its whole time to live, of which `ttlMs` is what is left. @defaultValue ttlMs */
  readonly wholeMs?: number;
}

export class MemoryTier<Key extends CacheKey, Value extends Cacheable> {
  readonly generations: Generations = new Generations();
  readonly #entries: EntryTable<Entry<Value>>;

  constructor(
    private readonly options: CacheOptions<Key, Value>,
    private readonly settings: CacheSettings<Key, Value>,
  ) {
    const { maxEntries, maxBytes, random } = settings;
    this.#entries = (options.eviction ?? lru()).table({ maxEntries, maxBytes, random });
  }

  get size(): number {
    return this.#entries.size;
  }

  get bytes(): number {
    return this.#entries.bytes;
  }

  /** What is there, whether or not it may be given to anybody; counts as used. */
  get(id: string): Entry<Value> | undefined {
    return this.#entries.get(id);
  }

  /** As {@link get}, without a trace. */
  peek(id: string): Entry<Value> | undefined {
    return this.#entries.peek(id);
  }

  /** What is there within its time. */
  find(id: string, now: number): Entry<Value> | undefined {
    const entry = this.#entries.get(id);
    if (entry === undefined) return undefined;
    if (now - entry.usedAt < this.settings.maxIdleMs && now < endOf(entry)) return entry;
    this.#entries.delete(id);
    return undefined;
  }

  /** Whether none of its tags has been invalidated since its load began. */
  isGood(entry: Entry<Value>): boolean {
    const { latest } = this.generations;
    if (entry.checkedAt === latest) return true;
    if (!this.generations.isGood(entry.tags, entry.generation)) return false;
    entry.checkedAt = latest;
    return true;
  }

  entryOf(keeping: Keeping<Value>): Entry<Value> {
    const { settings } = this;
    const { value, ttlMs, wholeMs = ttlMs, from } = keeping;
    const freshUntil = from + ttlMs;
    // With a draw at each read, or a time of last use, no read is simple.
    const isSimple = settings.beta === 0 && settings.maxIdleMs === Infinity;
    // One shape for all entries: what reads them stays fast.
    return {
      value,
      tags: keeping.tags,
      generation: keeping.generation,
      checkedAt: keeping.generation,
      version: keeping.version,
      freshUntil,
      staleUntil: freshUntil + settings.staleMs,
      errorUntil: freshUntil + settings.errorMs,
      quietUntil: isSimple ? freshUntil - wholeMs * (1 - settings.refreshShare) : 0,
      loadMs: keeping.loadMs,
      usedAt: settings.clock.monotonic(),
    };
  }

  put(key: Key, id: string, entry: Entry<Value>): void {
    if (this.settings.maxBytes === 0) this.#entries.set(id, entry);
    else this.#entries.set(id, entry, this.#sizeOf(entry.value, key));
  }

  delete(id: string): boolean {
    return this.#entries.delete(id);
  }

  clear(): void {
    this.#entries.clear();
  }

  tagsOf(value: Value | undefined, key: Key): readonly string[] {
    return value === undefined ? [] : checkTags(this.options.tags?.(value, key) ?? []);
  }

  /** Its time to live with the draw of `jitter`; 0: it is not kept. */
  ttlOf(value: Value | undefined, key: Key, ttl?: Parameters<typeof toMs>[0]): number {
    const { settings } = this;
    const whole = ttl === undefined ? settings.ttlOf : () => toMs(ttl);
    const fullMs = value === undefined ? settings.negativeMs : whole(value, key);
    return fullMs * (1 - settings.jitter * settings.random());
  }

  isToBeRenewed(entry: Entry<Value>, now: number): boolean {
    const { beta, refreshShare, random } = this.settings;
    if (now < entry.quietUntil) return false;
    if (beta > 0) return drawsRefresh(entry.freshUntil - now, entry.loadMs, beta, random());
    return refreshShare < 1;
  }

  /** Loading has failed: not again at once. */
  pause(entry: Entry<Value>): void {
    const until = this.settings.clock.monotonic() + this.settings.errorPauseMs;
    entry.quietUntil = Math.min(until, endOf(entry));
  }

  #sizeOf(value: Value | undefined, key: Key): number {
    return value === undefined ? 1 : Math.max(1, Math.ceil(this.options.sizeOf?.(value, key) ?? 1));
  }
}
