// Questions to the store: what it has, put into memory, and the load that its lease is for.
import type { Clock } from "@holdfast/core";
import type { Cacheable, CacheCodec, CacheKey } from "../contract.ts";
import type { Entry } from "../memory/entry.ts";
import type { MemoryTier } from "../memory/memory-tier.ts";
import type { LeasedLoad, LeasedLoads } from "./leased-loads.ts";
import type { Errand, Ongoing } from "./ongoing.ts";
import type { Owed } from "./owed.ts";
import type { CacheLease, CacheRead, CacheReading, CacheRegion, SharedEntry } from "./store.ts";

/** What a look at the store has brought. */
export interface Seen<Value> {
  readonly entry: Entry<Value> | undefined;
  /** Fresh when the store was asked. */
  readonly isFresh: boolean;
  readonly lease: CacheLease;
  /** Under the lease that this process was given, or has. */
  readonly load: LeasedLoad<Value> | undefined;
}

export interface LooksOptions<Key extends CacheKey, Value extends Cacheable> {
  /** Whether there is a loader that a lease would be for. */
  readonly isLoading: boolean;
  readonly idleMs: number;
  readonly clock: Clock;
  readonly memory: MemoryTier<Key, Value>;
  readonly leased: LeasedLoads<Key, Value>;
  readonly ongoing: Ongoing;
  readonly owed: Owed;
  readonly shared: {
    readonly region: CacheRegion;
    readonly leaseMs: number;
    readonly codec: CacheCodec<Value>;
  };
}

/** Stands for a value that cannot be read. */
const POISONED: unique symbol = Symbol("poisoned");

export class Looks<Key extends CacheKey, Value extends Cacheable> {
  /** Which others join. */
  readonly #unsent = new Map<string, Promise<Seen<Value>>>();
  readonly #holder = crypto.randomUUID();

  constructor(private readonly options: LooksOptions<Key, Value>) {}

  /** One question to the store, for all who ask in the same moment. */
  look(key: Key, id: string, lease: CacheRead["lease"], instead: number = 0): Promise<Seen<Value>> {
    const wanted = this.#wanted(lease);
    const place = `${wanted}:${instead}:${id}`;
    const known = this.#unsent.get(place);
    if (known !== undefined) return known;
    const look = this.#lookNow(key, id, wanted, instead);
    this.#unsent.set(place, look);
    // What is asked later may have to see what has changed since.
    queueMicrotask(() => this.#unsent.delete(place));
    look.catch(() => {});
    return look;
  }

  async #lookNow(key: Key, id: string, lease: CacheRead["lease"], instead: number): Promise<Seen<Value>> {
    const errand = this.options.ongoing.begin(id);
    try {
      if (!this.options.owed.isEmpty) await this.options.owed.pay();
      const { latest: generation } = this.options.memory.generations;
      const held = this.options.memory.peek(id);
      const from = this.options.clock.monotonic();
      const reading = await this.#read(id, held?.version ?? 0, lease, instead);
      const load = this.#loadUnder(reading.lease, key, id, held);
      const entry = await this.#entryFrom(reading.entry, key, errand, { generation, held, from });
      if (entry === POISONED) return await this.#lookPast(key, id, reading.entry!.version, load);
      return { entry, isFresh: (reading.entry?.freshForMs ?? 0) > 0, lease: reading.lease, load };
    } finally {
      this.options.ongoing.end(errand);
    }
  }

  /** What cannot be read counts as missing: it is loaded over. */
  async #lookPast(
    key: Key,
    id: string,
    version: number,
    known: LeasedLoad<Value> | undefined,
  ): Promise<Seen<Value>> {
    const reading = await this.#read(id, version, this.#wanted("same"), 0);
    const load = known ?? this.#loadUnder(reading.lease, key, id, undefined);
    return { entry: undefined, isFresh: false, lease: reading.lease, load };
  }

  #wanted(lease: CacheRead["lease"]): CacheRead["lease"] {
    return this.options.isLoading ? lease : "never";
  }

  #read(id: string, have: number, lease: CacheRead["lease"], instead: number): Promise<CacheReading> {
    const { idleMs, shared } = this.options;
    const { leaseMs, region } = shared;
    return region.read({ id, have, lease, instead, leaseMs, idleMs, holder: this.#holder });
  }

  #loadUnder(
    lease: CacheLease,
    key: Key,
    id: string,
    held: Entry<Value> | undefined,
  ): LeasedLoad<Value> | undefined {
    if (lease.kind === "held") return this.options.leased.get(id, lease.fence);
    if (lease.kind !== "granted") return undefined;
    return this.options.leased.begin(key, id, lease.fence, held);
  }

  /** Puts into memory what the store has, unless it has changed meanwhile. */
  async #entryFrom(
    shared: SharedEntry | undefined,
    key: Key,
    errand: Errand,
    asked: { readonly generation: number; readonly held: Entry<Value> | undefined; readonly from: number },
  ): Promise<Entry<Value> | undefined | typeof POISONED> {
    const { id } = errand;
    const { generation, held, from } = asked;
    if (shared === undefined) {
      if (!errand.isOutdated && this.options.memory.peek(id) === held) this.options.memory.delete(id);
      return undefined;
    }
    const { version, loadMs, freshForMs, freshMs } = shared;
    const isHeld = shared.isSame && held !== undefined;
    const tags = isHeld ? held.tags : shared.tags;
    const value = isHeld ? held.value : await this.#decoded(shared.payload);
    if (value === POISONED) return POISONED;
    const times = { from, ttlMs: freshForMs, wholeMs: freshMs };
    const entry = this.options.memory.entryOf({ value, tags, generation, version, loadMs, ...times });
    const isNewest = version >= (this.options.memory.peek(id)?.version ?? 0);
    if (!errand.isOutdated && isNewest) this.options.memory.put(key, id, entry);
    return entry;
  }

  async #decoded(payload: string | undefined): Promise<Value | undefined | typeof POISONED> {
    if (payload === undefined) return undefined;
    try {
      return await this.options.shared.codec.decode(payload);
    } catch {
      return POISONED;
    }
  }
}
