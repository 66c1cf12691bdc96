// What a store of idempotency keys must do: one atomic verb for each thing that can happen to a key.

/** What a store can do, so that callers need not find out. */
export interface IdempotencyStoreTraits {
  /** Whether other processes see the same keys. */
  readonly shared: boolean;
  /** Whose time decides when a lock has run out. A shared store never believes a client's clock. */
  readonly clock: "caller" | "server";
  /** What a key survives: the end of this process, or not even that. */
  readonly durability: "process" | "server";
  /** Whether {@link StoreWriteOptions.tx} is understood: a write is part of the caller's transaction. */
  readonly transactional: boolean;
}

/** A key of a caller. Two pairs are the same only if both parts are: `("a:b", "c")` is not `("a", "b:c")`. */
export interface KeyRef {
  /** Whose key it is: a tenant, an API key, an operation. 1 to 255 characters. */
  readonly scope: string;
  /** 1 to 255 characters. */
  readonly key: string;
}

/** The right to work on a key for a while. */
export interface KeyLease extends KeyRef {
  /**
   * Fencing token: greater than that of every earlier holder of this key, unique to this one, and no count of
   * anything. A safe integer.
   */
  readonly fence: number;
}

/** How far an operation got, for whoever has to take it over. */
export interface RecoveryPoint {
  readonly name: string;
  /** Whatever the operation left there, encoded. */
  readonly data: string;
}

/** Asks for a key. */
export interface BeginRequest extends KeyRef {
  /** Digest of the request: the same key with another fingerprint is refused, whatever state it is in. */
  readonly fingerprint: string;
  /** Unique to this attempt. The same owner asking again is given the lease that it already has. */
  readonly owner: string;
  /** How long the lease lasts unless it is renewed. Integer milliseconds from 1. */
  readonly lockTtlMs: number;
  /** How long the key is remembered after the last write to it. Integer milliseconds, not below `lockTtlMs`. */
  readonly ttlMs: number;
  /** Whether a key that is in doubt is handed out too; the lease then says so. */
  readonly takeDoubtful: boolean;
}

/** The answer to {@link IdempotencyStore.begin}. */
export type BeginOutcome =
  /** The caller holds the key now. */
  | {
      readonly kind: "acquired";
      readonly fence: number;
      /** Where to resume. */
      readonly point?: RecoveryPoint;
      /** An earlier attempt ended without a word and without a recovery point: its effect may have happened. */
      readonly doubt: boolean;
    }
  /** Somebody else holds it, for this long unless they renew it. */
  | { readonly kind: "inFlight"; readonly retryAfterMs: number }
  /** It has been completed, with this. */
  | { readonly kind: "replay"; readonly result: string }
  /** The key belongs to another request. */
  | { readonly kind: "mismatch" }
  /** As `doubt`, to a caller that did not ask for doubtful keys. Nothing has changed. */
  | {
      readonly kind: "inDoubt";
      /** Of the attempt whose end is not known. */
      readonly fence: number;
    };

/**
 * The answer to a write under a lease.
 *
 * - `ok`: written. The same write again by the same fence is `ok` and changes nothing: its reply may have been lost.
 * - `lost`: the lease is no longer this one's; nothing has changed.
 * - `busy`: only from `renew`: the key is locked inside the store at the moment, by the holder's own transaction or
 *   by somebody who asks for it. Nothing has changed; ask again soon.
 */
export type WriteOutcome = "ok" | "lost" | "busy";

export interface StoreCallOptions {
  /** Gives the call up. What it has sent may still take effect. */
  readonly signal?: AbortSignal;
}

export interface StoreWriteOptions<Tx> extends StoreCallOptions {
  /** Makes the write part of this transaction, if the store is transactional. */
  readonly tx?: Tx;
}

/**
 * Where idempotency keys live. Each verb is atomic and decides in the store, by the store's clock; each write
 * compares the fence and changes nothing when it is not the present one. `idempotencyStoreConformance` of
 * `@holdfast/core/testing` holds an implementation against this contract.
 *
 * A key is in one of these states: unknown (never seen, or forgotten after its time), held, open (released, or in
 * doubt), done. A held key whose lock has run out is open; it is in doubt if it has no recovery point.
 */
export interface IdempotencyStore<Tx = never> {
  readonly traits: IdempotencyStoreTraits;
  /** Decides between all who ask for one key. The fingerprint is looked at before the state. */
  begin(request: BeginRequest, options?: StoreCallOptions): Promise<BeginOutcome>;
  /** Makes the lock last `lockTtlMs` from now. */
  renew(lease: KeyLease, lockTtlMs: number, options?: StoreCallOptions): Promise<WriteOutcome>;
  /** Records how far the operation got, and renews. Whoever takes over resumes there. */
  checkpoint(
    lease: KeyLease,
    point: RecoveryPoint,
    lockTtlMs: number,
    options?: StoreWriteOptions<Tx>,
  ): Promise<WriteOutcome>;
  /** Records the result, to be replayed for `ttlMs`. A completed key never changes again. */
  complete(
    lease: KeyLease,
    result: string,
    ttlMs: number,
    options?: StoreWriteOptions<Tx>,
  ): Promise<WriteOutcome>;
  /**
   * Gives the key back uncompleted. `retryable`: this attempt had no effect; anyone may run the operation
   * again. Otherwise it is in doubt, unless it has a recovery point. Either way the recovery point stays, and so
   * does a doubt about an earlier attempt.
   */
  fail(lease: KeyLease, retryable: boolean, options?: StoreCallOptions): Promise<WriteOutcome>;
  /**
   * Takes back a `begin` whose reply was lost and under which nothing was run: the key is as it was before. Does
   * nothing if `owner` does not hold it.
   */
  release(ref: KeyRef, owner: string, options?: StoreCallOptions): Promise<void>;
  /** Frees what the store holds itself. A client that was handed in stays open: it is its owner's. */
  close(): Promise<void>;
}
