// Changes of what several processes share: at once in this one, in all of them when the store has acknowledged it.
import { optionsOf } from "@holdfast/core";
import type { Cacheable, CacheCodec, CacheKey, CacheOptions, SetOptions } from "../contract.ts";
import type { MemoryTier } from "../memory/memory-tier.ts";
import type { CacheSettings } from "../settings.ts";
import { checkTags } from "../settings.ts";
import type { AloneLoads } from "./alone-loads.ts";
import type { LeasedLoads } from "./leased-loads.ts";
import type { Ongoing } from "./ongoing.ts";
import type { Owed } from "./owed.ts";
import type { CacheRegion, SharedValue } from "./store.ts";
import type { Trust } from "./trust.ts";

export interface SharedChangesParts<Key extends CacheKey, Value extends Cacheable> {
  readonly write: CacheOptions<Key, Value>["write"] | undefined;
  readonly settings: CacheSettings<Key, Value>;
  readonly shared: {
    readonly region: CacheRegion;
    readonly leaseMs: number;
    readonly codec: CacheCodec<Value>;
  };
  readonly memory: MemoryTier<Key, Value>;
  readonly leased: LeasedLoads<Key, Value>;
  readonly alone: AloneLoads<Key, Value>;
  readonly ongoing: Ongoing;
  readonly owed: Owed;
  readonly trust: Trust<Value>;
}

export class SharedChanges<Key extends CacheKey, Value extends Cacheable> {
  readonly #region: CacheRegion;
  readonly #memory: MemoryTier<Key, Value>;

  constructor(private readonly parts: SharedChangesParts<Key, Value>) {
    this.#region = parts.shared.region;
    this.#memory = parts.memory;
  }

  async set(key: Key, id: string, value: Value, options: SetOptions): Promise<void> {
    const { ongoing, settings } = this.parts;
    const { shared, tags, ttlMs } = await this.#written(key, value, options);
    const { latest: generation } = this.#memory.generations;
    const from = settings.clock.monotonic();
    this.#forget(id);
    const version = await this.#told(id, () => this.#region.set(id, shared));
    const isNewest = version > (this.#memory.peek(id)?.version ?? 0);
    ongoing.outdate(id);
    if (!isNewest || ttlMs <= 0) return;
    const entry = this.#memory.entryOf({ value, tags, generation, version, loadMs: 0, from, ttlMs });
    this.#memory.put(key, id, entry);
  }

  async put(key: Key, id: string, value: Value, options: SetOptions): Promise<void> {
    const { leased, owed, write } = this.parts;
    if (write === undefined)
      optionsOf("put").refuse("write", undefined, "a function of the cache, which changes the source");
    const { shared } = await this.#written(key, value, options);
    if (!owed.isEmpty) await owed.pay();
    const fence = await this.#region.beginWrite(id, this.parts.shared.leaseMs);
    const stopRenewing = leased.renewing(id, fence);
    const end = async (written: SharedValue | undefined): Promise<void> => {
      stopRenewing();
      this.#forget(id);
      await this.#told(id, () => this.#region.endWrite(id, fence, written));
      this.#forget(id);
    };
    try {
      await write?.(key, value);
    } catch (error) {
      // It may have happened all the same; what the store fails with matters less.
      await end(undefined).catch(() => {});
      throw error;
    }
    await end(shared);
  }

  async invalidate(id: string): Promise<void> {
    // At once, and of what was read from the store before it knew.
    this.#forget(id);
    await this.#told(id, () => this.#region.invalidate(id));
    this.#forget(id);
  }

  async invalidateTag(tag: string): Promise<void> {
    checkTags([tag]);
    this.#memory.generations.invalidate(tag);
    try {
      await this.#region.invalidateTag(tag);
    } catch (error) {
      this.parts.owed.addTag(tag);
      throw error;
    } finally {
      this.#memory.generations.invalidate(tag);
    }
  }

  async clear(): Promise<void> {
    this.#forgetAll();
    try {
      await this.#region.clear();
    } catch (error) {
      this.parts.owed.addAll();
      throw error;
    } finally {
      this.#forgetAll();
    }
  }

  async #written(
    key: Key,
    value: Value,
    options: SetOptions,
  ): Promise<{ readonly shared: SharedValue; readonly tags: readonly string[]; readonly ttlMs: number }> {
    const { leased, shared } = this.parts;
    const tags = options.tags === undefined ? this.#memory.tagsOf(value, key) : checkTags(options.tags);
    const ttlMs = this.#memory.ttlOf(value, key, options.ttl);
    const payload = await shared.codec.encode(value);
    return { shared: leased.sharedValue({ payload, tags, ttlMs, loadMs: 0 }), tags, ttlMs };
  }

  #forget(id: string): void {
    const { alone, ongoing } = this.parts;
    this.#memory.delete(id);
    ongoing.outdate(id);
    alone.doom(id);
  }

  #forgetAll(): void {
    this.parts.trust.forget();
    this.#memory.clear();
    this.parts.alone.doomAll();
  }

  /** Changes the store's state of a key; what it does not acknowledge is owed as an invalidation. */
  async #told<T>(id: string, change: () => Promise<T>): Promise<T> {
    try {
      return await change();
    } catch (error) {
      this.parts.owed.addKey(id);
      throw error;
    }
  }
}
