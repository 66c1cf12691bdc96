// Fallback: answers something else when the task fails.
import { asError, FallbackFailedError, ResultRefusedError } from "../errors/errors.ts";
import { isHoldfastError } from "../errors/holdfast-error.ts";
import { optionsOf } from "../options.ts";
import { channel } from "../telemetry/channel.ts";
import { notify } from "../telemetry/notify.ts";
import type { CallContext, Context, RunOptions } from "./context.ts";
import { contextOf } from "./context.ts";
import type { Policy, PolicyDescription, PolicySnapshot, Task } from "./policy.ts";

/** Makes the value to answer with, from what went wrong. */
export type Substitute<F> = (error: Error, context: Context) => F | PromiseLike<F>;

export interface FallbackOptions {
  /** @defaultValue "fallback" */
  readonly name?: string;
  /** Whether an error is to be replaced. Never asked once the caller has aborted. @defaultValue every error is */
  readonly when?: (error: Error, context: Context) => boolean;
  /**
   * Whether a value is to be replaced, as if the task had failed with a {@link ResultRefusedError}.
   * @defaultValue no value is
   */
  readonly whenResult?: (value: unknown, context: Context) => boolean;
  /** Told before the fallback is asked for its value. What it throws changes nothing. */
  readonly onFallback?: (event: FallbackEvent) => unknown;
}

/** Published as `holdfast:core:fallback`, and given to `onFallback`, whenever a failure is about to be replaced. */
export interface FallbackEvent {
  readonly policy: string;
  readonly attempt: number;
  /** What the task failed with. */
  readonly error: Error;
}

const fellBack = /* @__PURE__ */ channel<FallbackEvent>("core", "fallback");

/**
 * Answers with a value of its own when the task fails. The value may be computed, from the error and with the
 * call's context; a function is always taken as one that computes it.
 *
 * A caller's abort is never answered with a fallback: it rejects with `signal.reason`. When the function fails in
 * its turn, the call rejects with a {@link FallbackFailedError}, which keeps both errors.
 *
 * @throws InvalidOptionError when an option is out of range.
 *
 * @example
 * ```ts
 * import { fallback } from "@holdfast/core";
 *
 * const orNobody = fallback({ name: "nobody" });
 * await orNobody.run(() => Promise.reject(new Error("no such user"))); // => { name: "nobody" }
 * ```
 */
export function fallback<F>(substitute: Substitute<F>, options?: FallbackOptions): Policy<F>;
export function fallback<const F>(value: F, options?: FallbackOptions): Policy<F>;
export function fallback<F>(substitute: F | Substitute<F>, options: FallbackOptions = {}): Policy<F> {
  const check = optionsOf("fallback");
  check.object("options", options);
  return new Fallback<F>(
    typeof substitute === "function" ? (substitute as Substitute<F>) : () => substitute,
    check.string("name", options.name, 255, "fallback"),
    check.function("when", options.when),
    check.function("whenResult", options.whenResult),
    check.function("onFallback", options.onFallback),
  );
}

class Fallback<F> implements Policy<F> {
  readonly kind = "fallback";
  #replaced = 0;

  constructor(
    private readonly substitute: Substitute<F>,
    readonly name: string,
    private readonly when: FallbackOptions["when"],
    private readonly whenResult: FallbackOptions["whenResult"],
    private readonly onFallback: FallbackOptions["onFallback"],
  ) {}

  async run<T>(task: Task<T>, options?: RunOptions): Promise<T | F> {
    const context = contextOf(options);
    context.throwIfAborted();
    let value: T;
    try {
      value = await task(context);
    } catch (thrown) {
      context.throwIfAborted();
      const error = asError(thrown);
      if (this.when?.(error, context) === false) throw error;
      return this.#replace(error, context);
    }
    if (this.whenResult === undefined || !this.whenResult(value, context)) return value;
    context.throwIfAborted();
    return this.#replace(new ResultRefusedError(this.name, value), context);
  }

  snapshot(): PolicySnapshot {
    return { kind: this.kind, name: this.name, replaced: this.#replaced };
  }

  describe(): PolicyDescription {
    const which = this.when === undefined ? "any failure" : "certain failures";
    return { kind: this.kind, name: this.name, summary: `answers for ${which} with a value of its own` };
  }

  async #replace(error: Error, context: CallContext): Promise<F> {
    this.#replaced += 1;
    if (this.onFallback !== undefined || fellBack.hasSubscribers) {
      const event: FallbackEvent = { policy: this.name, attempt: context.attempt, error };
      notify(this.onFallback, event);
      if (fellBack.hasSubscribers) fellBack.publish(event);
    }
    try {
      return await this.substitute(error, context);
    } catch (thrown) {
      context.throwIfAborted();
      const retryAfterMs = isHoldfastError(error) ? error.retryAfterMs : undefined;
      throw new FallbackFailedError(this.name, asError(thrown), { cause: error, retryAfterMs });
    }
  }
}
