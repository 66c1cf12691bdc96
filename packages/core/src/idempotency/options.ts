// What `idempotency` can be told, checked once.
import type { Duration } from "../time/duration.ts";
import type { Clock } from "../time/clock.ts";
import type { Random } from "../random.ts";
import { optionsOf } from "../options.ts";
import { systemRandom } from "../random.ts";
import { systemClock } from "../time/system-clock.ts";
import type { FailureRule } from "./operation-failure.ts";
import { defaultFailureRule } from "./operation-failure.ts";
import type { IdempotencyStore } from "./store.ts";

export interface IdempotencyOptions<Tx = never> {
  readonly store: IdempotencyStore<Tx>;
  /**
   * Whose keys these are, unless a call names its own: an operation, an API. The same key under another scope is
   * another key. 1 to 255 characters.
   */
  readonly scope: string;
  /**
   * How long a key stays held without a sign of life, which is given three times as often: how long after a crash
   * another attempt can begin. From 30 ms. @defaultValue "30s"
   */
  readonly lock?: Duration;
  /** How long a key is remembered after the last write to it; not below `lock`. @defaultValue "1d" */
  readonly ttl?: Duration;
  /**
   * What to do about a key whose last attempt ended without a word and without a recovery point, so that its effect
   * may have happened: refuse with an `InDoubtError`, or run again and tell the operation (`doubt`).
   * @defaultValue "reject"
   */
  readonly onInDoubt?: "reject" | "run";
  /**
   * What a failed operation means for its key. @defaultValue `"unknown"` after an abort or a timeout and for store
   * failures of unknown outcome, else `"nothing"`
   */
  readonly onFailure?: FailureRule;
  /** What to do when the store cannot be asked: fail, or run unprotected. @defaultValue "closed" */
  readonly onStoreError?: "closed" | "open";
  /** How often one call to the store is tried; each with the same outcome as the first. @defaultValue 3 */
  readonly storeAttempts?: number;
  /** How long one call to the store may take. @defaultValue "2s" */
  readonly storeTimeout?: Duration;
  /** Longest result kept, in characters of JSON; from 1,000. @defaultValue 262_144 */
  readonly maxResultLength?: number;
  /** @defaultValue systemClock */
  readonly clock?: Clock;
  /** Spreads the waits between calls to a store that fails. @defaultValue systemRandom */
  readonly random?: Random;
}

/** The defaults of `idempotency`. */
export const IDEMPOTENCY_DEFAULTS: {
  readonly lockMs: number;
  readonly ttlMs: number;
  readonly storeAttempts: number;
  readonly storeTimeoutMs: number;
  readonly maxResultLength: number;
} = {
  lockMs: 30_000,
  ttlMs: 86_400_000,
  storeAttempts: 3,
  storeTimeoutMs: 2_000,
  maxResultLength: 262_144,
};

/** {@link IdempotencyOptions}, checked and complete. */
export interface IdempotencySettings<Tx> {
  readonly store: IdempotencyStore<Tx>;
  readonly scope: string;
  readonly lockMs: number;
  readonly ttlMs: number;
  readonly takeDoubtful: boolean;
  readonly onFailure: FailureRule;
  readonly runUnprotected: boolean;
  readonly storeAttempts: number;
  readonly storeTimeoutMs: number;
  readonly maxResultLength: number;
  readonly clock: Clock;
  readonly random: Random;
}

/** @throws InvalidOptionError */
export function settingsOf<Tx>(options: IdempotencyOptions<Tx>): IdempotencySettings<Tx> {
  const check = optionsOf("idempotency");
  const defaults = IDEMPOTENCY_DEFAULTS;
  // Stores are told whole milliseconds.
  const lockMs = Math.ceil(check.duration("lock", options.lock, { min: 30 }, defaults.lockMs));
  const ttlMs = check.duration("ttl", options.ttl, { min: lockMs }, Math.max(lockMs, defaults.ttlMs));
  return {
    store: check.object("store", options.store),
    scope: check.string("scope", options.scope, 255),
    lockMs,
    ttlMs: Math.ceil(ttlMs),
    takeDoubtful: check.oneOf("onInDoubt", options.onInDoubt, ["reject", "run"], "reject") === "run",
    onFailure: check.function("onFailure", options.onFailure) ?? defaultFailureRule,
    runUnprotected:
      check.oneOf("onStoreError", options.onStoreError, ["closed", "open"], "closed") === "open",
    storeAttempts: check.integer(
      "storeAttempts",
      options.storeAttempts,
      { min: 1, max: 100 },
      defaults.storeAttempts,
    ),
    storeTimeoutMs: check.duration("storeTimeout", options.storeTimeout, { min: 1 }, defaults.storeTimeoutMs),
    maxResultLength: check.integer(
      "maxResultLength",
      options.maxResultLength,
      { min: 1_000 },
      defaults.maxResultLength,
    ),
    clock: options.clock ?? systemClock,
    random: check.function("random", options.random) ?? systemRandom,
  };
}
