// A key that is held: its lease is renewed in time, its end is written, and its loss is noticed.
import { asError, LeaseLostError } from "../errors/errors.ts";
import type { AbortScope } from "../policies/abort-scope.ts";
import type { Timer } from "../time/clock.ts";
import type { IdempotencySettings } from "./options.ts";
import type { StoreCalls } from "./store-calls.ts";
import type { KeyLease, RecoveryPoint, WriteOutcome } from "./store.ts";

/** Renewals in the time a lock lasts. */
const BEATS_PER_LOCK = 3;

export class HeldKey<Tx> {
  /** On the clock's monotonic time: from here on the key may be somebody else's. */
  #endsAt: number;
  #timer: Timer | undefined;
  #isRenewing = false;

  constructor(
    private readonly settings: IdempotencySettings<Tx>,
    private readonly calls: StoreCalls,
    readonly lease: KeyLease,
    /** Aborted with a `LeaseLostError` when the lease is lost. */
    private readonly scope: AbortScope,
    /** When the key was asked for. */
    askedAt: number,
    private readonly onStoreError: (error: Error) => void,
  ) {
    this.#endsAt = askedAt + settings.lockMs;
  }

  /** Renews the lease from here on. */
  keep(): void {
    const { clock, lockMs } = this.settings;
    const beatMs = Math.max(1, Math.min(lockMs / BEATS_PER_LOCK, this.#endsAt - clock.monotonic()));
    this.#timer = clock.setTimer(beatMs, () => this.#beat());
  }

  /** Renews it no more. */
  rest(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  /** @throws LeaseLostError, or what the store failed with. */
  async checkpoint(point: RecoveryPoint, tx: Tx | undefined): Promise<void> {
    const { store, lockMs, clock } = this.settings;
    const sentAt = clock.monotonic();
    const outcome = await this.#write(tx, (options) => store.checkpoint(this.lease, point, lockMs, options));
    if (outcome === "lost") throw this.lose();
    this.#endsAt = Math.max(this.#endsAt, sentAt + lockMs);
  }

  complete(result: string, tx: Tx | undefined): Promise<WriteOutcome> {
    const { store, ttlMs } = this.settings;
    return this.#write(tx, (options) => store.complete(this.lease, result, ttlMs, options));
  }

  fail(retryable: boolean): Promise<WriteOutcome> {
    return this.calls.ask((signal) => this.settings.store.fail(this.lease, retryable, { signal }));
  }

  /** Takes note that the lease is gone, and tells whoever works under it. */
  lose(): LeaseLostError {
    const lost = new LeaseLostError(this.lease.key, this.lease.fence);
    this.rest();
    this.scope.abort(lost);
    return lost;
  }

  #write(
    tx: Tx | undefined,
    write: (options: { readonly signal: AbortSignal; readonly tx?: Tx }) => Promise<WriteOutcome>,
  ): Promise<WriteOutcome> {
    if (tx === undefined) return this.calls.ask((signal) => write({ signal }));
    return this.calls.askOnce((signal) => write({ signal, tx }));
  }

  // A store that does not answer must not leave the operation running on a lease that has run out: that is judged
  // here by the clock, without the store.
  #beat(): void {
    if (this.settings.clock.monotonic() >= this.#endsAt) {
      this.lose();
      return;
    }
    if (!this.#isRenewing) void this.#renew();
    this.keep();
  }

  async #renew(): Promise<void> {
    const { store, lockMs, clock } = this.settings;
    const sentAt = clock.monotonic();
    this.#isRenewing = true;
    try {
      const outcome = await this.calls.askOnce((signal) => store.renew(this.lease, lockMs, { signal }));
      if (this.#timer === undefined) return;
      if (outcome === "lost") this.lose();
      // Locked by the operation's own transaction: nobody can take it over until that has ended.
      else
        this.#endsAt = Math.max(
          this.#endsAt,
          sentAt + (outcome === "ok" ? lockMs : (2 * lockMs) / BEATS_PER_LOCK),
        );
    } catch (error) {
      this.onStoreError(asError(error));
    } finally {
      this.#isRenewing = false;
    }
  }
}
