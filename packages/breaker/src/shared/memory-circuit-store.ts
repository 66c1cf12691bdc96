// Shared circuits of one process: for several breakers of it, and for tests.
import type { Clock, Duration } from "@holdfast/core";
import { ClosedError, optionsOf, StoreUnavailableError, systemClock } from "@holdfast/core";
import type { Change, FleetRecord, Moment } from "./fleet-record.ts";
import { circuitOf, leaseProbe, probeEnded, recordAt, vote } from "./fleet-record.ts";
import type {
  CircuitStore,
  CircuitStoreTraits,
  CircuitVote,
  CircuitWatcher,
  FleetCircuit,
  ProbeAnswer,
  ProbeEnd,
  ProbeEndAnswer,
  ProbeRequest,
} from "./store.ts";

export interface MemoryCircuitStoreOptions {
  /** Most circuits kept. From 1. @defaultValue 10_000 */
  readonly maxCircuits?: number;
  /** How long a circuit is remembered beyond its open time and its last lease. From 1 ms. @defaultValue "1h" */
  readonly keep?: Duration;
  /** @defaultValue systemClock */
  readonly clock?: Clock;
}

/** The defaults of `memoryCircuitStore`. */
export const MEMORY_CIRCUIT_STORE_DEFAULTS: { readonly maxCircuits: number; readonly keepMs: number } = {
  maxCircuits: 10_000,
  keepMs: 3_600_000,
};

/**
 * Shares circuits between the breakers of this process, such as those of several pools to one callee. A full store
 * refuses circuits that it does not know (`StoreUnavailableError`, reason `full`): their breakers stay alone. It holds no
 * timer, and runs on the monotonic clock.
 *
 * @throws InvalidOptionError when an option is out of range.
 *
 * @example
 * ```ts
 * import { circuitBreaker, consecutive, memoryCircuitStore } from "@holdfast/breaker";
 *
 * const share = { store: memoryCircuitStore(), quorum: 1 };
 * const trip = consecutive({ failures: 1 });
 * const [reads, writes] = [circuitBreaker({ trip, share }), circuitBreaker({ trip, share })];
 * await reads.run(() => Promise.reject(new Error("down"))).catch(() => {});
 * await Promise.resolve();
 * writes.state; // => "open"
 * ```
 */
export function memoryCircuitStore(options: MemoryCircuitStoreOptions = {}): CircuitStore {
  const check = optionsOf("memoryCircuitStore");
  const { maxCircuits, keepMs } = MEMORY_CIRCUIT_STORE_DEFAULTS;
  return new MemoryCircuitStore(
    check.integer("maxCircuits", options.maxCircuits, { min: 1 }, maxCircuits),
    check.duration("keep", options.keep, { min: 1 }, keepMs),
    options.clock ?? systemClock,
  );
}

class MemoryCircuitStore implements CircuitStore {
  readonly traits: CircuitStoreTraits = { shared: false, clock: "caller" };
  readonly #records = new Map<string, FleetRecord>();
  readonly #watchers = new Set<CircuitWatcher>();
  #lastGeneration = 0;
  #isClosed = false;

  constructor(
    private readonly maxCircuits: number,
    private readonly keepMs: number,
    private readonly clock: Clock,
  ) {}

  async read(key: string): Promise<FleetCircuit> {
    return this.#look(key);
  }

  async vote(request: CircuitVote): Promise<FleetCircuit> {
    this.#change(request.key, (known, moment) => vote(known, request, moment));
    return this.#look(request.key);
  }

  async leaseProbe(request: ProbeRequest): Promise<ProbeAnswer> {
    const answer = this.#change(request.key, (known, moment) => leaseProbe(known, request, moment));
    return { ...answer, circuit: this.#look(request.key) };
  }

  async probeEnded(end: ProbeEnd): Promise<ProbeEndAnswer> {
    const answer = this.#change(end.key, (known, moment) => probeEnded(known, end, moment));
    return { ...answer, circuit: this.#look(end.key) };
  }

  watch(watcher: CircuitWatcher): () => void {
    if (this.#isClosed) throw new ClosedError("the memory store of circuits");
    // A place of its own for each watch, should the same watcher watch twice.
    const watch: CircuitWatcher = {
      changed: (circuits) => watcher.changed(circuits),
      lost: (error) => watcher.lost(error),
    };
    this.#watchers.add(watch);
    watch.changed(
      [...this.#records.keys()].map((key) => this.#look(key)).filter(({ state }) => state === "open"),
    );
    return () => void this.#watchers.delete(watch);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#watchers.clear();
    this.#records.clear();
  }

  #look(key: string): FleetCircuit {
    if (this.#isClosed) throw new ClosedError("the memory store of circuits");
    const now = this.clock.monotonic();
    return circuitOf(key, recordAt(this.#records.get(key), now), now);
  }

  #change<Answer>(
    key: string,
    verb: (known: FleetRecord | undefined, moment: Moment) => Change<Answer>,
  ): Answer {
    const before = this.#look(key);
    const now = this.clock.monotonic();
    const nextGeneration = (): number => (this.#lastGeneration += 1);
    const { record, answer } = verb(this.#records.get(key), { now, keepMs: this.keepMs, nextGeneration });
    if (now >= record.keptUntil) return answer;
    this.#makeRoom(key, now);
    this.#records.set(key, record);
    const after = circuitOf(key, record, now);
    if (after.generation !== before.generation) for (const watch of this.#watchers) watch.changed([after]);
    return answer;
  }

  #makeRoom(key: string, now: number): void {
    if (this.#records.has(key) || this.#records.size < this.maxCircuits) return;
    for (const [other, { keptUntil }] of this.#records) if (now >= keptUntil) this.#records.delete(other);
    if (this.#records.size < this.maxCircuits) return;
    const message = `all ${this.#records.size} circuits are in use; no room for a new one`;
    throw new StoreUnavailableError("memory", message, { reason: "full", outcome: "none" });
  }
}
