// The root of every error Holdfast throws: a stable code, structured fields, and RFC 9457 problem details.

/** RFC 9457 problem details, as sent with `content-type: application/problem+json`. */
export interface Problem {
  /** Identifies the kind of problem. Derived from the error's code. */
  readonly type: string;
  readonly title: string;
  /** HTTP status code. */
  readonly status: number;
  /** What happened this time. Never holds a cause or a stack. */
  readonly detail: string;
  /** The error's stable code. */
  readonly code: string;
  /** How long the client should wait, in milliseconds, where the error knows. */
  readonly retryAfterMs?: number;
  readonly [extension: string]: unknown;
}

/** What any Holdfast error can be given besides its message. */
export interface HoldfastErrorOptions extends ErrorOptions {
  /** How long to wait before trying again, in milliseconds. */
  readonly retryAfterMs?: number | undefined;
}

// Shared by all copies of this package in one process.
const brand = Symbol.for("holdfast.error");

/**
 * Base class of every error that Holdfast throws. Handle errors by {@link HoldfastError.code}, not by
 * `instanceof`: two installed copies of a package have two classes but one code.
 *
 * @example
 * ```ts
 * import { hasCode, timeout } from "@holdfast/core";
 *
 * try {
 *   await timeout("5ms").run(() => new Promise(() => {}));
 * } catch (error) {
 *   hasCode(error, "TIMEOUT"); // => true
 * }
 * ```
 */
export abstract class HoldfastError extends Error {
  /** Stable, SCREAMING_SNAKE. Never changes between releases. */
  abstract readonly code: string;
  /** HTTP status that fits the condition, used by {@link toProblem}. */
  readonly status: number = 500;
  /** How long to wait before trying again, in milliseconds, where it is known. */
  declare readonly retryAfterMs?: number;

  constructor(message: string, options?: HoldfastErrorOptions) {
    super(message, options);
    if (options?.retryAfterMs !== undefined) this.retryAfterMs = options.retryAfterMs;
    // Read from the class, so that minified bundles and subclasses agree with what `instanceof` sees.
    this.name = new.target.name;
    Object.defineProperty(this, brand, { value: true });
  }

  /** Structured fields that belong in the problem body; subclasses add theirs. */
  protected problemFields(): Readonly<Record<string, unknown>> {
    return {};
  }

  /** What the outside is told; subclasses whose message quotes something of the inside say less. */
  protected problemDetail(): string {
    return this.message;
  }

  /** This error as RFC 9457 problem details. Neither cause nor stack leaves the process. */
  toProblem(): Problem {
    return {
      type: `urn:holdfast:error:${this.code.toLowerCase().replaceAll("_", "-")}`,
      title: titleOf(this.code),
      status: this.status,
      detail: this.problemDetail(),
      code: this.code,
      ...(this.retryAfterMs === undefined ? {} : { retryAfterMs: this.retryAfterMs }),
      ...this.problemFields(),
    };
  }
}

/** Whether `value` is a Holdfast error, of this or of another installed copy of the package. */
export function isHoldfastError(value: unknown): value is HoldfastError {
  return typeof value === "object" && value !== null && readSafely(value, brand) === true;
}

/** Whether `value` is a Holdfast error with this code. */
export function hasCode<Code extends string>(
  value: unknown,
  code: Code,
): value is HoldfastError & { readonly code: Code } {
  return isHoldfastError(value) && readSafely(value, "code") === code;
}

function titleOf(code: string): string {
  const words = code.toLowerCase().replaceAll("_", " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}

// A thrown value may be a proxy or hold a throwing getter; asking what it is must never throw.
function readSafely(target: object, key: PropertyKey): unknown {
  try {
    return (target as Record<PropertyKey, unknown>)[key];
  } catch {
    return undefined;
  }
}
