// Loads under way: one for each key, which all who ask for it meanwhile wait for.
import type { Cacheable, CacheKey, LoadContext } from "../contract.ts";
import type { Landed, Loader, LoadRun } from "./run-load.ts";

/** One load. */
export interface Flight<Value> {
  readonly promise: Promise<Landing<Value>>;
  /** The latest invalidation when it began. */
  readonly generation: number;
  /** Which it is, of all that have begun. */
  readonly order: number;
  /** When it began, on the clock's monotonic time. */
  readonly startedAt: number;
  /** Rejects for all who wait, and aborts the loader's signal. */
  readonly abandon: (reason: Error) => void;
  /** Its key was invalidated or set since: it leaves nothing behind, and nobody joins it any more. */
  isDoomed: boolean;
}

/** What a load has brought. */
export interface Landing<Value> {
  readonly value: Value | undefined;
  readonly tags: readonly string[];
  readonly isKept: boolean;
}

/** What is done with what a load has brought. */
export type Land<Key, Value> = (
  key: Key,
  id: string,
  value: Value | undefined,
  flight: Flight<Value>,
  loadMs: number,
) => Landing<Value>;

/** What a load begins with. */
export interface FlightStart<Value> {
  readonly reason: LoadContext<Value>["reason"];
  readonly generation: number;
  readonly startedAt: number;
  readonly previous: Value | undefined;
}

export class Flights<Key extends CacheKey, Value extends Cacheable> {
  readonly #byKey = new Map<string, Flight<Value>>();
  /** Those that nobody joins any more. */
  readonly #doomed = new Set<Flight<Value>>();
  #order = 0;

  constructor(
    private readonly loader: Loader<Key, Value>,
    private readonly land: Land<Key, Value>,
  ) {}

  get size(): number {
    return this.#byKey.size + this.#doomed.size;
  }

  /** Of the one that has begun last. */
  get order(): number {
    return this.#order;
  }

  get(id: string): Flight<Value> | undefined {
    return this.#byKey.get(id);
  }

  /** Begins a load that all join who ask for the key from now on. */
  begin(key: Key, id: string, start: FlightStart<Value>): Flight<Value> {
    this.#order += 1;
    const { generation, startedAt } = start;
    const run: LoadRun<Landing<Value>> = this.loader.run({
      key,
      reason: start.reason,
      previous: start.previous,
      land: (value, loadMs) => landed(this.land(key, id, value, flight, loadMs)),
      ended: () => this.#remove(id, flight),
    });
    const flight: Flight<Value> = { ...run, generation, startedAt, order: this.#order, isDoomed: false };
    this.#byKey.set(id, flight);
    return flight;
  }

  doom(id: string): void {
    const flight = this.#byKey.get(id);
    if (flight === undefined) return;
    flight.isDoomed = true;
    this.#byKey.delete(id);
    this.#doomed.add(flight);
  }

  doomAll(): void {
    for (const id of this.#byKey.keys()) this.doom(id);
  }

  abandonAll(reason: Error): void {
    for (const flight of [...this.#byKey.values(), ...this.#doomed]) flight.abandon(reason);
  }

  #remove(id: string, flight: Flight<Value>): void {
    this.#doomed.delete(flight);
    if (this.#byKey.get(id) === flight) this.#byKey.delete(id);
  }
}

function landed<Value>(landing: Landing<Value>): Landed<Landing<Value>> {
  const { isKept, value } = landing;
  return { result: landing, outcome: !isKept ? "dropped" : value === undefined ? "none" : "kept" };
}
