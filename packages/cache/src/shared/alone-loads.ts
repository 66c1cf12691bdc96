// Loads that the store knows nothing of: it is down, or somebody is changing the source.
import type { Cacheable, CacheKey } from "../contract.ts";
import type { Flight, Landing } from "../load/flights.ts";
import { Flights } from "../load/flights.ts";
import type { Loader } from "../load/run-load.ts";
import type { MemoryTier } from "../memory/memory-tier.ts";
import type { CacheSettings } from "../settings.ts";

export class AloneLoads<Key extends CacheKey, Value extends Cacheable> {
  readonly #flights: Flights<Key, Value>;

  constructor(
    loader: Loader<Key, Value>,
    private readonly memory: MemoryTier<Key, Value>,
    private readonly settings: CacheSettings<Key, Value>,
    private readonly coherenceMs: number,
  ) {
    this.#flights = new Flights(loader, (key, id, value, flight) => this.#land(key, id, value, flight));
  }

  get size(): number {
    return this.#flights.size;
  }

  /**
   * What the source says: by a load that begins now, one that others have begun after this was called, or one that began
   * within the time for which an old value may be served. One load at a time for each key.
   */
  async load(key: Key, id: string, wait: <T>(promise: Promise<T>) => Promise<T>): Promise<Value | undefined> {
    const { clock } = this.settings;
    const askedAt = clock.monotonic();
    const { order } = this.#flights;
    const { generations } = this.memory;
    const { latest } = generations;
    for (;;) {
      const flight = this.#flights.get(id);
      if (flight === undefined) return (await wait(this.#begin(key, id).promise)).value;
      if (flight.order > order || askedAt < flight.startedAt + this.coherenceMs) {
        const { value, tags } = await wait(flight.promise);
        // Unless this process had invalidated one of its tags before.
        if (flight.generation >= latest || generations.isGood(tags, flight.generation)) return value;
      } else await wait(flight.promise.catch(() => {}));
    }
  }

  doom(id: string): void {
    this.#flights.doom(id);
  }

  doomAll(): void {
    this.#flights.doomAll();
  }

  abandonAll(reason: Error): void {
    this.#flights.abandonAll(reason);
  }

  #begin(key: Key, id: string): Flight<Value> {
    const { generations } = this.memory;
    const startedAt = this.settings.clock.monotonic();
    const previous = this.memory.peek(id)?.value;
    return this.#flights.begin(key, id, {
      reason: "miss",
      generation: generations.latest,
      startedAt,
      previous,
    });
  }

  #land(key: Key, id: string, value: Value | undefined, flight: Flight<Value>): Landing<Value> {
    const { memory } = this;
    const tags = memory.tagsOf(value, key);
    const { generation, startedAt: from } = flight;
    const ttlMs = Math.min(memory.ttlOf(value, key), this.coherenceMs);
    const isKept = !flight.isDoomed && ttlMs > 0 && memory.generations.isGood(tags, generation);
    if (isKept) {
      const entry = memory.entryOf({ value, tags, generation, version: 0, loadMs: 0, from, ttlMs });
      memory.put(key, id, { ...entry, staleUntil: entry.freshUntil, errorUntil: entry.freshUntil });
    }
    return { value, tags, isKept };
  }
}
