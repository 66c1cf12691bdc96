// What it means to run an operation under a key: what goes in, what it is told, what comes out.
import type { KeyRef } from "./store.ts";

/** One request under a key. */
export interface IdempotentCall<Tx = never> {
  /** Chosen by whoever repeats the request. 1 to 255 characters. */
  readonly key: string;
  /** Whose key it is. @defaultValue the scope of the maker */
  readonly scope?: string | undefined;
  /** What is asked for: the same key with another body is refused. JSON, text or bytes. */
  readonly body?: unknown;
  /** Ends the wait with its reason, at once. The operation is told, and its end is recorded when it comes. */
  readonly signal?: AbortSignal | undefined;
  /**
   * The caller's open transaction, on a store whose traits say `transactional`: the result is recorded in it, and
   * so exactly when the operation's own writes are committed. If it is rolled back after that, the key is held until
   * its lock has run out, and in doubt from then on.
   */
  readonly tx?: Tx | undefined;
}

/** What an operation is told. */
export interface IdempotentContext<Tx = never> {
  readonly key: string;
  readonly scope: string;
  /**
   * Fencing token: higher than that of any earlier attempt under this key. Hand it to what you write to, and let
   * that refuse a lower one than it has seen. 0 when the store could not be asked and `onStoreError` is `"open"`.
   */
  readonly fence: number;
  /** Whether an earlier attempt may have had its effect. Only with `onInDoubt: "run"`. */
  readonly doubt: boolean;
  /** Where an earlier attempt got to. */
  readonly point?: { readonly name: string; readonly data: unknown };
  /** Aborts with the caller's reason, or with a `LeaseLostError`. Made when it is first read. */
  readonly signal: AbortSignal;
  /** Whether it has been aborted. Cheaper to ask than `signal.aborted`. */
  readonly aborted: boolean;
  /** Throws the abort's reason if it has been aborted. */
  readonly throwIfAborted: () => void;
  /**
   * Records how far the operation got, with JSON of its own: whoever has to take over resumes there, and is not in
   * doubt. With `tx`, as part of that transaction.
   *
   * @throws LeaseLostError, StoreUnavailableError
   */
  readonly checkpoint: (name: string, data?: unknown, options?: { readonly tx?: Tx }) => Promise<void>;
}

/** A result, and where it came from. */
export interface Idempotent<T> {
  /** What the operation answered: as it is the first time, from JSON when it is replayed. */
  readonly value: T;
  /** Whether an earlier attempt's result was answered. */
  readonly replayed: boolean;
  /**
   * Whether the result is on record. `false`: the store failed when it was to be written, and once the lock has run
   * out the key is in doubt.
   */
  readonly stored: boolean;
}

/** Runs operations under keys. */
export interface Idempotency<Tx = never> {
  /**
   * Runs the operation if nobody has yet, or answers what came of it then.
   *
   * @throws IdempotencyMismatchError when the key belongs to another request.
   * @throws IdempotencyInFlightError while another attempt is at work.
   * @throws InDoubtError when it is not known whether an earlier attempt had its effect.
   * @throws ResultNotKeptError, ReplayedFailureError when that is what the key has to answer.
   * @throws LeaseLostError when the operation took so long without a sign of life that another attempt began.
   * @throws StoreUnavailableError when the store cannot be asked and `onStoreError` is `"closed"`: nothing was run.
   */
  run<T>(
    call: IdempotentCall<Tx>,
    operation: (context: IdempotentContext<Tx>) => T | PromiseLike<T>,
  ): Promise<Idempotent<Awaited<T>>>;
}

/** Published as `holdfast:core:idempotency` for each step of a call. */
export interface IdempotencyEvent extends KeyRef {
  /**
   * How the call began (`acquired`, `replayed`, `in_flight`, `mismatch`, `in_doubt`, `unprotected`), how the
   * operation ended (`completed`, `failed`, `lost`, `not_stored`), or that the store failed (`store_error`).
   */
  readonly step:
    | "acquired"
    | "replayed"
    | "in_flight"
    | "mismatch"
    | "in_doubt"
    | "unprotected"
    | "completed"
    | "failed"
    | "lost"
    | "not_stored"
    | "store_error";
  readonly error?: Error;
}
