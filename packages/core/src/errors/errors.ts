// One class per condition that a caller of core would handle differently.
import type { HoldfastErrorOptions } from "./holdfast-error.ts";
import { HoldfastError } from "./holdfast-error.ts";

/** An option was refused at construction. `code: "INVALID_OPTION"`. */
export class InvalidOptionError extends HoldfastError {
  override readonly code = "INVALID_OPTION";
  override readonly status = 400;

  /**
   * @param owner - The function that was called, such as `retry`.
   * @param option - The option's name, such as `attempts`.
   * @param value - What was given.
   * @param expected - The range, and the fix if it is not obvious: `an integer from 1 to 100`.
   */
  constructor(
    readonly owner: string,
    readonly option: string,
    readonly value: unknown,
    readonly expected: string,
  ) {
    super(`${owner}: option "${option}" must be ${expected}; got ${describeValue(value)}`);
  }

  protected override problemFields(): Readonly<Record<string, unknown>> {
    return { owner: this.owner, option: this.option, expected: this.expected };
  }
}

/** Work did not finish in time. `code: "TIMEOUT"`. A caller's own abort is never reported as this. */
export class TimeoutError extends HoldfastError {
  override readonly code = "TIMEOUT";
  override readonly status = 504;

  constructor(
    /** Name of the policy or operation that ran out of time. */
    readonly operation: string,
    /** The limit, in milliseconds. */
    readonly timeoutMs: number,
    options?: HoldfastErrorOptions,
  ) {
    super(`${operation} did not finish within ${timeoutMs} ms`, options);
  }

  protected override problemFields(): Readonly<Record<string, unknown>> {
    return { operation: this.operation, timeoutMs: this.timeoutMs };
  }
}

/** Something was thrown that is not an Error; it is kept in {@link thrown}. `code: "NON_ERROR_THROWN"`. */
export class NonErrorThrownError extends HoldfastError {
  override readonly code = "NON_ERROR_THROWN";

  constructor(readonly thrown: unknown) {
    super(`a value that is not an Error was thrown: ${describeValue(thrown)}`, { cause: thrown });
  }

  protected override problemDetail(): string {
    return "a value that is not an Error was thrown";
  }
}

/** A policy was told not to accept the value that the task answered with. `code: "RESULT_REFUSED"`. */
export class ResultRefusedError extends HoldfastError {
  override readonly code = "RESULT_REFUSED";
  override readonly status = 502;

  constructor(
    /** Name of the policy that refused it. */
    readonly policy: string,
    /** What the task answered with. Not part of the problem details. */
    readonly result: unknown,
  ) {
    super(`${policy} refused the result ${describeValue(result)}`);
  }

  protected override problemDetail(): string {
    return `${this.policy} refused the result`;
  }

  protected override problemFields(): Readonly<Record<string, unknown>> {
    return { policy: this.policy };
  }
}

/** A task failed, which is the `cause`, and so did its fallback. `code: "FALLBACK_FAILED"`. */
export class FallbackFailedError extends HoldfastError {
  override readonly code = "FALLBACK_FAILED";

  constructor(
    /** Name of the policy. */
    readonly policy: string,
    /** What the fallback failed with. */
    readonly fallbackError: Error,
    options: HoldfastErrorOptions,
  ) {
    super(`${policy} failed too, with ${describeValue(fallbackError)}`, options);
  }

  protected override problemDetail(): string {
    return `${this.policy} failed too`;
  }

  protected override problemFields(): Readonly<Record<string, unknown>> {
    return { policy: this.policy };
  }
}

/** Another run of the same task was faster; the reason on the signal of those that lost. `code: "HEDGE_LOST"`. */
export class HedgeLostError extends HoldfastError {
  override readonly code = "HEDGE_LOST";

  constructor(
    /** Name of the hedge policy. */
    readonly policy: string,
  ) {
    super(`${policy}: another run of this task was faster`);
  }
}

/** What a store's failure can be told besides its message. */
export interface StoreFailureOptions extends HoldfastErrorOptions {
  /** @defaultValue "connection" */
  readonly reason?: string;
  /** @defaultValue "unknown" */
  readonly outcome?: "none" | "unknown";
}

/** A store could not be reached or did not answer in time. `code: "STORE_UNAVAILABLE"`. */
export class StoreUnavailableError extends HoldfastError {
  override readonly code = "STORE_UNAVAILABLE";
  override readonly status = 503;
  /** Why, in the words of the store's adapter: `connection`, `timeout`, `read_only`, `loading`, … */
  readonly reason: string;
  /**
   * `"none"`: the call changed nothing and can be repeated. `"unknown"`: it may have had its effect, since it was
   * sent and only its reply is missing.
   */
  readonly outcome: "none" | "unknown";

  constructor(
    /** Which store, such as `redis`. */
    readonly store: string,
    message: string,
    options?: StoreFailureOptions,
  ) {
    super(`${store}: ${message}`, options);
    this.reason = options?.reason ?? "connection";
    this.outcome = options?.outcome ?? "unknown";
  }

  protected override problemFields(): Readonly<Record<string, unknown>> {
    return { store: this.store, reason: this.reason, outcome: this.outcome };
  }
}

/** Somebody else holds the lease now; the write was refused and nothing changed. `code: "LEASE_LOST"`. */
export class LeaseLostError extends HoldfastError {
  override readonly code = "LEASE_LOST";
  override readonly status = 409;

  constructor(
    /** What was leased: a task ID, an idempotency key. */
    readonly key: string,
    /** The fencing token that is no longer valid. */
    readonly fence: number,
    options?: HoldfastErrorOptions,
  ) {
    super(`the lease on ${describeValue(key)} with fencing token ${fence} is no longer held`, options);
  }

  protected override problemFields(): Readonly<Record<string, unknown>> {
    return { key: this.key, fence: this.fence };
  }
}

/** It is closed, or closing, and takes no more work. `code: "CLOSED"`. */
export class ClosedError extends HoldfastError {
  override readonly code = "CLOSED";
  override readonly status = 503;

  constructor(
    /** What is closed, such as `queue "mail"`. */
    readonly what: string,
  ) {
    super(`${what} is closed and takes no more work`);
  }
}

/**
 * Whatever was thrown, as an Error: Errors come back as they are, anything else is wrapped in a
 * {@link NonErrorThrownError} that keeps it.
 */
export function asError(thrown: unknown): Error {
  return isError(thrown) ? thrown : new NonErrorThrownError(thrown);
}

/** A short, safe, one-line description of any value for messages: never throws, at most 120 characters. */
export function describeValue(value: unknown): string {
  const text = describe(value);
  return text.length > 120 ? `${text.slice(0, 117)}...` : text;
}

function describe(value: unknown): string {
  try {
    if (typeof value === "string") return JSON.stringify(value.length > 120 ? value.slice(0, 120) : value);
    if (typeof value === "bigint") return `${value}n`;
    if (typeof value === "function") return `[function ${value.name || "anonymous"}]`;
    if (typeof value === "object" && value !== null) {
      if (Array.isArray(value)) return `[array of ${value.length}]`;
      return `[${value.constructor?.name ?? "object"}]`;
    }
    return String(value);
  } catch {
    return "[a value that cannot be shown]";
  }
}

// Errors of another realm (vm contexts, worker structured clones) are not `instanceof Error` here.
function isError(value: unknown): value is Error {
  try {
    return value instanceof Error || Object.prototype.toString.call(value) === "[object Error]";
  } catch {
    return false;
  }
}
