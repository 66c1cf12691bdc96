// Loads under a lease of the store: one for each key in the whole fleet, whose value comes in only while the lease lasts.
import type { Timer } from "@holdfast/core";
import type { Cacheable, CacheCodec, CacheKey } from "../contract.ts";
import type { Landing } from "../load/flights.ts";
import type { Landed, Loader } from "../load/run-load.ts";
import type { Entry } from "../memory/entry.ts";
import type { MemoryTier } from "../memory/memory-tier.ts";
import type { CacheSettings } from "../settings.ts";
import type { Ongoing } from "./ongoing.ts";
import type { CacheRegion, SharedValue } from "./store.ts";

export interface LeasedLoad<Value> {
  readonly promise: Promise<Landing<Value>>;
  readonly abandon: (reason: Error) => void;
}

export interface LeasedLoadsOptions<Key extends CacheKey, Value extends Cacheable> {
  readonly loader: Loader<Key, Value>;
  readonly memory: MemoryTier<Key, Value>;
  readonly settings: CacheSettings<Key, Value>;
  readonly ongoing: Ongoing;
  readonly shared: {
    readonly region: CacheRegion;
    readonly leaseMs: number;
    readonly codec: CacheCodec<Value>;
  };
}

/** A lease is prolonged so many times before it would end. */
const RENEWALS = 3;

export class LeasedLoads<Key extends CacheKey, Value extends Cacheable> {
  readonly #byFence = new Map<string, LeasedLoad<Value>>();

  constructor(private readonly options: LeasedLoadsOptions<Key, Value>) {}

  get size(): number {
    return this.#byFence.size;
  }

  /** The load of this process under that lease. */
  get(id: string, fence: number): LeasedLoad<Value> | undefined {
    return this.#byFence.get(placeOf(id, fence));
  }

  begin(key: Key, id: string, fence: number, held: Entry<Value> | undefined): LeasedLoad<Value> {
    const { loader, settings, shared } = this.options;
    const stopRenewing = this.renewing(id, fence);
    const place = placeOf(id, fence);
    const load = loader.run<Landing<Value>>({
      key,
      reason: held === undefined ? "miss" : "refresh",
      previous: held?.value,
      land: (value, loadMs) => this.#land(key, id, fence, value, loadMs),
      ended: (outcome) => {
        stopRenewing();
        this.#byFence.delete(place);
        if (outcome !== "failed" && outcome !== "abandoned") return;
        // If it cannot be told, the lease ends by itself.
        shared.region.release(id, fence, settings.errorPauseMs).catch(() => {});
      },
    });
    this.#byFence.set(place, load);
    return load;
  }

  abandonAll(reason: Error): void {
    for (const load of this.#byFence.values()) load.abandon(reason);
  }

  /** Prolongs the lease for as long as this process is alive. @returns what ends it. */
  renewing(id: string, fence: number): () => void {
    const { settings, shared } = this.options;
    let timer: Timer | undefined;
    let isOver = false;
    const next = (): void => {
      timer = settings.clock.setTimer(shared.leaseMs / RENEWALS, () => void renew());
    };
    const renew = async (): Promise<void> => {
      // A store that does not answer may do so next time.
      const isHeld = await shared.region.renew(id, fence, shared.leaseMs).catch(() => true);
      if (isHeld && !isOver) next();
    };
    next();
    return () => {
      isOver = true;
      timer?.cancel();
    };
  }

  /** How long the store is to keep it. */
  sharedValue(of: {
    readonly payload: string | undefined;
    readonly tags: readonly string[];
    readonly ttlMs: number;
    readonly loadMs: number;
  }): SharedValue {
    const { staleMs, errorMs } = this.options.settings;
    const { payload, tags, loadMs } = of;
    const freshMs = Math.max(0, of.ttlMs);
    const lastMs = freshMs === 0 ? 0 : freshMs + Math.max(staleMs, errorMs);
    return { payload, tags, freshMs, lastMs, loadMs };
  }

  async #land(
    key: Key,
    id: string,
    fence: number,
    value: Value | undefined,
    loadMs: number,
  ): Promise<Landed<Landing<Value>>> {
    const { memory, ongoing, settings, shared } = this.options;
    const tags = memory.tagsOf(value, key);
    const ttlMs = memory.ttlOf(value, key);
    const payload = value === undefined ? undefined : await shared.codec.encode(value);
    const { latest: generation } = memory.generations;
    const from = settings.clock.monotonic();
    const errand = ongoing.begin(id);
    const isKept = await shared.region
      .fill(id, fence, this.sharedValue({ payload, tags, ttlMs, loadMs }))
      // Whether it was kept is not known: then nobody relies on it.
      .catch(() => false);
    ongoing.end(errand);
    if (isKept && ttlMs > 0 && !errand.isOutdated) {
      const entry = memory.entryOf({ value, tags, generation, version: fence, loadMs, from, ttlMs });
      if (fence >= (memory.peek(id)?.version ?? 0)) memory.put(key, id, entry);
    }
    const outcome = !isKept ? "dropped" : value === undefined ? "none" : "kept";
    return { result: { value, tags, isKept }, outcome };
  }
}

function placeOf(id: string, fence: number): string {
  return `${fence}:${id}`;
}
