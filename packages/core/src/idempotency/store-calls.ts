// Calls to a store of keys: each tried a few times, each in time, and every failure told apart from an operation's.
import { StoreUnavailableError } from "../errors/errors.ts";
import { hasCode, isHoldfastError } from "../errors/holdfast-error.ts";
import { exponential } from "../policies/backoff.ts";
import { pipeline } from "../policies/pipeline.ts";
import type { Policy } from "../policies/policy.ts";
import { retry } from "../policies/retry.ts";
import { timeout } from "../policies/timeout.ts";
import { formatDuration } from "../time/duration.ts";
import type { IdempotencySettings } from "./options.ts";

export class StoreCalls {
  readonly #many: Policy;
  readonly #once: Policy;
  readonly #timeoutMs: number;

  constructor(settings: Omit<IdempotencySettings<never>, "store">) {
    const { clock, random, storeAttempts, storeTimeoutMs } = settings;
    this.#timeoutMs = storeTimeoutMs;
    this.#once = timeout(storeTimeoutMs, { name: "idempotency store", clock });
    const backoff = exponential({ base: 50, cap: 1_000 });
    this.#many = pipeline(
      retry({ attempts: storeAttempts, backoff, retryOn: isStoreFailure, clock, random }),
      this.#once,
    );
  }

  /** For what may be sent again: the same owner begins once, the same fence writes once. */
  ask<T>(call: (signal: AbortSignal) => Promise<T>, signal?: AbortSignal): Promise<T> {
    return this.#within(this.#many, call, signal);
  }

  /** For what must not be sent again: a transaction is over once a statement of it has failed. */
  askOnce<T>(call: (signal: AbortSignal) => Promise<T>, signal?: AbortSignal): Promise<T> {
    return this.#within(this.#once, call, signal);
  }

  async #within<T>(
    policy: Policy,
    call: (signal: AbortSignal) => Promise<T>,
    signal: AbortSignal | undefined,
  ): Promise<T> {
    try {
      return await policy.run((context) => call(context.signal), { signal });
    } catch (error) {
      if (!hasCode(error, "TIMEOUT")) throw error;
      const message = `no answer within ${formatDuration(this.#timeoutMs)}`;
      throw new StoreUnavailableError("idempotency", message, {
        reason: "timeout",
        outcome: "unknown",
        cause: error,
      });
    }
  }
}

/** Whether the store has failed, rather than refused: whatever is not an error of ours comes from its client. */
export function isStoreFailure(error: unknown): boolean {
  return hasCode(error, "STORE_UNAVAILABLE") || hasCode(error, "TIMEOUT") || !isHoldfastError(error);
}
