// Idempotency keys of one process: exact, bounded, gone with the process.
import { ClosedError, StoreUnavailableError } from "../errors/errors.ts";
import { optionsOf } from "../options.ts";
import type { Clock } from "../time/clock.ts";
import { systemClock } from "../time/system-clock.ts";
import type { KeyRecord, Transition } from "./record.ts";
import { begin, checkpoint, complete, fail, isRemembered, release, renew } from "./record.ts";
import type {
  BeginOutcome,
  BeginRequest,
  IdempotencyStore,
  IdempotencyStoreTraits,
  KeyLease,
  KeyRef,
  RecoveryPoint,
  WriteOutcome,
} from "./store.ts";

export interface MemoryIdempotencyStoreOptions {
  /** Most keys kept. From 1. @defaultValue 10_000 */
  readonly maxKeys?: number;
  /**
   * Most bytes of keys, recovery points and results kept, counted as two for each character. What is in flight
   * when the bound is reached is still recorded. @defaultValue 67_108_864 (64 MiB)
   */
  readonly maxBytes?: number;
  /** @defaultValue systemClock */
  readonly clock?: Clock;
}

/** The defaults of `memoryIdempotencyStore`. */
export const MEMORY_IDEMPOTENCY_DEFAULTS: { readonly maxKeys: number; readonly maxBytes: number } = {
  maxKeys: 10_000,
  maxBytes: 64 * 2 ** 20,
};

/** How often a store that is not full looks for keys whose time is over: every so many new keys. */
const SWEEP_EVERY = 1_000;

/** A full store does not look again sooner, in milliseconds: each look costs the length of the store. */
const FULL_SWEEP_PAUSE_MS = 100;

/** What a record costs besides its texts, roughly, in bytes. */
const RECORD_BYTES = 400;

/**
 * Keeps idempotency keys in this process: for one process, for tests, for what may be forgotten at a restart. A
 * full store refuses new keys (`StoreUnavailableError`, reason `full`) and never forgets a live one early, since
 * that would let a request run twice. Locks run on the monotonic clock: a jump of wall time moves none.
 *
 * @throws InvalidOptionError when an option is out of range.
 *
 * @example
 * ```ts
 * import { idempotency, memoryIdempotencyStore } from "@holdfast/core";
 *
 * const payments = idempotency({ store: memoryIdempotencyStore(), scope: "payments" });
 * const pay = () => payments.run({ key: "order-1", body: { amount: 5 } }, () => "paid");
 * await pay(); // => { value: "paid", replayed: false, stored: true }
 * await pay(); // => { value: "paid", replayed: true, stored: true }
 * ```
 */
export function memoryIdempotencyStore(options: MemoryIdempotencyStoreOptions = {}): IdempotencyStore {
  const check = optionsOf("memoryIdempotencyStore");
  check.object("options", options);
  const { maxKeys, maxBytes } = MEMORY_IDEMPOTENCY_DEFAULTS;
  return new MemoryIdempotencyStore(
    check.integer("maxKeys", options.maxKeys, { min: 1 }, maxKeys),
    check.integer("maxBytes", options.maxBytes, { min: 1 }, maxBytes),
    options.clock ?? systemClock,
  );
}

class MemoryIdempotencyStore implements IdempotencyStore {
  readonly traits: IdempotencyStoreTraits = {
    shared: false,
    clock: "caller",
    durability: "process",
    transactional: false,
  };
  readonly #records = new Map<string, KeyRecord>();
  #bytes = 0;
  #lastFence = 0;
  #sinceSweep = 0;
  #sweptAt = -Infinity;
  #closed = false;

  constructor(
    private readonly maxKeys: number,
    private readonly maxBytes: number,
    private readonly clock: Clock,
  ) {}

  async begin(request: BeginRequest): Promise<BeginOutcome> {
    const now = this.clock.monotonic();
    const id = idOf(request);
    const known = this.#records.get(id);
    if (known === undefined) this.#makeRoom(now);
    return this.#change(
      id,
      begin(known, request, now, () => (this.#lastFence += 1)),
    );
  }

  async renew(lease: KeyLease, lockTtlMs: number): Promise<WriteOutcome> {
    return this.#write(lease, (known, now) => renew(known, lease.fence, lockTtlMs, now));
  }

  async checkpoint(lease: KeyLease, point: RecoveryPoint, lockTtlMs: number): Promise<WriteOutcome> {
    return this.#write(lease, (known, now) => checkpoint(known, lease.fence, point, lockTtlMs, now));
  }

  async complete(lease: KeyLease, result: string, ttlMs: number): Promise<WriteOutcome> {
    return this.#write(lease, (known, now) => complete(known, lease.fence, result, ttlMs, now));
  }

  async fail(lease: KeyLease, retryable: boolean): Promise<WriteOutcome> {
    return this.#write(lease, (known, now) => fail(known, lease.fence, retryable, now));
  }

  async release(ref: KeyRef, owner: string): Promise<void> {
    const id = idOf(ref);
    this.#change(id, { record: release(this.#records.get(id), owner), outcome: undefined });
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#records.clear();
    this.#bytes = 0;
  }

  #write(
    lease: KeyLease,
    verb: (known: KeyRecord | undefined, now: number) => Transition<WriteOutcome>,
  ): WriteOutcome {
    const id = idOf(lease);
    return this.#change(id, verb(this.#records.get(id), this.clock.monotonic()));
  }

  #change<Outcome>(id: string, { record, outcome }: Transition<Outcome>): Outcome {
    if (this.#closed) throw new ClosedError("the memory store of idempotency keys");
    const before = this.#records.get(id);
    if (record !== undefined && record !== before) {
      this.#bytes += bytesOf(id, record) - (before === undefined ? 0 : bytesOf(id, before));
      this.#records.set(id, record);
    }
    return outcome;
  }

  #makeRoom(now: number): void {
    this.#sinceSweep += 1;
    const full = this.#isFull();
    if (full ? now - this.#sweptAt >= FULL_SWEEP_PAUSE_MS : this.#sinceSweep >= SWEEP_EVERY) this.#sweep(now);
    if (!this.#isFull()) return;
    const message = `all ${this.#records.size} keys are live; no room for a new one`;
    throw new StoreUnavailableError("memory", message, { reason: "full", outcome: "none" });
  }

  #isFull(): boolean {
    return this.#records.size >= this.maxKeys || this.#bytes >= this.maxBytes;
  }

  #sweep(now: number): void {
    this.#sinceSweep = 0;
    this.#sweptAt = now;
    for (const [id, record] of this.#records) {
      if (isRemembered(record, now)) continue;
      this.#records.delete(id);
      this.#bytes -= bytesOf(id, record);
    }
  }
}

// The length makes the joint unambiguous: no scope can pass for another scope and the start of a key.
function idOf({ scope, key }: KeyRef): string {
  return `${scope.length}:${scope}${key}`;
}

function bytesOf(id: string, { fingerprint, owner, point, result }: KeyRecord): number {
  const texts = id.length + fingerprint.length + owner.length + (result?.length ?? 0);
  return RECORD_BYTES + 2 * (texts + (point === undefined ? 0 : point.name.length + point.data.length));
}
