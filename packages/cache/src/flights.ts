// Loads under way: one for each key, which all who ask for it meanwhile wait for.
import { asError, channel, TimeoutError } from "@holdfast/core";
import type { Cacheable, CacheKey, CacheLoadEvent, CacheOptions, LoadContext } from "./contract.ts";
import type { CacheSettings } from "./settings.ts";

/** One load. */
export interface Flight<Value> {
  readonly promise: Promise<Landing<Value>>;
  /** The latest invalidation when it began. */
  readonly generation: number;
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

const loadEnded = /* @__PURE__ */ channel<CacheLoadEvent>("cache", "load");

export class Flights<Key extends CacheKey, Value extends Cacheable> {
  readonly #byKey = new Map<string, Flight<Value>>();
  /** Those that nobody joins any more. */
  readonly #doomed = new Set<Flight<Value>>();
  #begun = 0;
  #failed = 0;

  constructor(
    private readonly options: CacheOptions<Key, Value>,
    private readonly settings: CacheSettings<Key, Value>,
    private readonly land: Land<Key, Value>,
  ) {}

  get size(): number {
    return this.#byKey.size + this.#doomed.size;
  }

  get begun(): number {
    return this.#begun;
  }

  get failed(): number {
    return this.#failed;
  }

  get(id: string): Flight<Value> | undefined {
    return this.#byKey.get(id);
  }

  /** Begins a load that all join who ask for the key from now on. */
  begin(
    key: Key,
    id: string,
    reason: LoadContext<Value>["reason"],
    generation: number,
    previous: Value | undefined,
  ): Flight<Value> {
    const { clock, abandonAfterMs, name } = this.settings;
    const startedAt = clock.monotonic();
    const controller = new AbortController();
    const { promise, resolve, reject } = deferred<Landing<Value>>();
    let isOver = false;
    const end = (outcome: CacheLoadEvent["outcome"], error?: Error): void => {
      isOver = true;
      timer.cancel();
      this.#remove(id, flight);
      if (error !== undefined) this.#failed += 1;
      this.#tell(reason, outcome, clock.monotonic() - startedAt, error);
    };
    const flight: Flight<Value> = {
      promise,
      generation,
      isDoomed: false,
      abandon: (error) => {
        if (isOver) return;
        end("abandoned", error);
        controller.abort(error);
        reject(error);
      },
    };
    const landed = (value: Value | undefined): void => {
      if (isOver) return;
      const landing = this.land(key, id, value, flight, clock.monotonic() - startedAt);
      end(!landing.isKept ? "dropped" : value === undefined ? "none" : "kept");
      resolve(landing);
    };
    const failed = (thrown: unknown): void => {
      if (isOver) return;
      const error = asError(thrown);
      end("failed", error);
      reject(error);
    };
    const timer = clock.setTimer(abandonAfterMs, () =>
      flight.abandon(new TimeoutError(`${name}: a load`, abandonAfterMs)),
    );
    // Those who wait are told; there may be nobody.
    promise.catch(() => {});
    this.#byKey.set(id, flight);
    this.#begun += 1;
    this.#call(key, { signal: controller.signal, previous, reason }).then(landed).catch(failed);
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

  /** Async, so that what the loader throws at once rejects. */
  async #call(key: Key, context: LoadContext<Value>): Promise<Value | undefined> {
    const { load, policy } = this.options;
    if (policy === undefined) return load?.(key, context);
    return policy.run(() => load?.(key, context), { signal: context.signal });
  }

  #tell(
    reason: CacheLoadEvent["reason"],
    outcome: CacheLoadEvent["outcome"],
    durationMs: number,
    error: Error | undefined,
  ): void {
    if (!loadEnded.hasSubscribers) return;
    const { name } = this.settings;
    loadEnded.publish({
      cache: name,
      reason,
      outcome,
      durationMs,
      ...(error === undefined ? {} : { error }),
    });
  }
}

interface Deferred<T> {
  readonly promise: Promise<T>;
  readonly resolve: (value: T) => void;
  readonly reject: (error: Error) => void;
}

function deferred<T>(): Deferred<T> {
  let resolve: (value: T) => void = () => {};
  let reject: (error: Error) => void = () => {};
  const promise = new Promise<T>((onValue, onError) => {
    resolve = onValue;
    reject = onError;
  });
  return { promise, resolve, reject };
}
