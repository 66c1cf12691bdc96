// What can stand between a caller and its result when the operation is keyed.
import { HoldfastError } from "../errors/holdfast-error.ts";
import type { KeyRef } from "./store.ts";

/** The key belongs to another request: its fingerprint differs. Nothing was run. `code: "IDEMPOTENCY_MISMATCH"`. */
export class IdempotencyMismatchError extends HoldfastError {
  override readonly code = "IDEMPOTENCY_MISMATCH";
  override readonly status = 422;
  readonly key: string;

  constructor({ key }: KeyRef) {
    super(`the idempotency key ${JSON.stringify(key)} was used for another request`);
    this.key = key;
  }

  protected override problemFields(): Readonly<Record<string, unknown>> {
    return { key: this.key };
  }
}

/** Another attempt of the same request is being worked on. `code: "IDEMPOTENCY_IN_FLIGHT"`. */
export class IdempotencyInFlightError extends HoldfastError {
  override readonly code = "IDEMPOTENCY_IN_FLIGHT";
  override readonly status = 409;
  readonly key: string;

  /** @param retryAfterMs - How long the other one holds the key, unless it renews or finishes. */
  constructor({ key }: KeyRef, retryAfterMs: number) {
    super(`a request with the idempotency key ${JSON.stringify(key)} is being worked on`, { retryAfterMs });
    this.key = key;
  }

  protected override problemFields(): Readonly<Record<string, unknown>> {
    return { key: this.key };
  }
}

/**
 * An earlier attempt ended without a word and without a recovery point: whether its effect happened is not known,
 * and the operation was not run again. `code: "IDEMPOTENCY_IN_DOUBT"`.
 */
export class InDoubtError extends HoldfastError {
  override readonly code = "IDEMPOTENCY_IN_DOUBT";
  override readonly status = 409;
  readonly key: string;
  /** Fencing token of the attempt whose end is not known. */
  readonly fence: number;

  constructor({ key }: KeyRef, fence: number) {
    super(`it is not known how the request with the idempotency key ${JSON.stringify(key)} ended`);
    this.key = key;
    this.fence = fence;
  }

  protected override problemFields(): Readonly<Record<string, unknown>> {
    return { key: this.key };
  }
}

/** The operation is done and is not run again, but its result was not kept. `code: "IDEMPOTENCY_RESULT_NOT_KEPT"`. */
export class ResultNotKeptError extends HoldfastError {
  override readonly code = "IDEMPOTENCY_RESULT_NOT_KEPT";
  override readonly status = 409;
  readonly key: string;

  constructor(
    { key }: KeyRef,
    /** Why: `too large (300000 of 262144 characters)`. */
    readonly why: string,
  ) {
    super(
      `the request with the idempotency key ${JSON.stringify(key)} was done; its result was not kept: ${why}`,
    );
    this.key = key;
  }

  protected override problemFields(): Readonly<Record<string, unknown>> {
    return { key: this.key };
  }
}

/**
 * The first attempt failed, and its failure is what the key answers with. `code: "IDEMPOTENCY_REPLAYED_FAILURE"`;
 * the first attempt's own caller got the error itself.
 */
export class ReplayedFailureError extends HoldfastError {
  override readonly code = "IDEMPOTENCY_REPLAYED_FAILURE";
  override readonly status: number;

  constructor(
    /** The first error's `name`. */
    readonly originalName: string,
    /** The first error's `code`, if it had one. */
    readonly originalCode: string | undefined,
    message: string,
    status: number,
  ) {
    super(message);
    this.status = status;
  }

  protected override problemFields(): Readonly<Record<string, unknown>> {
    return this.originalCode === undefined ? {} : { originalCode: this.originalCode };
  }
}
