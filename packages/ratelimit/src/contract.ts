// What a limiter can be told, what it does, and what it publishes.
import type { Clock, Duration, Policy } from "@holdfast/core";
import type { Allowed, Decision, Refused } from "./decision.ts";
import type { Limit } from "./limits/limit.ts";
import type { Cost, RateLimitStore } from "./store.ts";

export interface RateLimiterOptions<By extends string> {
  /** For messages, events and the keys of a shared store. 1 to 64 letters, digits, `-`, `_` or `.`. @defaultValue "rate-limiter" */
  readonly name?: string;
  /** Decided together: a refusal of one spends nothing of any. 1 to 16, each with a name of its own. */
  readonly limits: Limit<By> | readonly Limit<By>[];
  /** Where counts are kept. @defaultValue memoryRateLimitStore() */
  readonly store?: RateLimitStore;
  /**
   * What to do while the store cannot be asked. Has to be said for a store that is shared.
   *
   * - `"open"`: allow.
   * - `"closed"`: reject with the `StoreUnavailableError`, which is a 503 and never looks like a refusal.
   * - `"local"`: count in this process, against its share of each limit: the limit divided by {@link instances}.
   */
  readonly onStoreError?: "open" | "closed" | "local";
  /** How many processes count together, for `onStoreError: "local"`. 1 to 100,000. @defaultValue 1 */
  readonly instances?: number;
  /**
   * How long the store is not asked after it has failed, so that not every call waits for it to fail again. Not with
   * `"closed"`, where each call asks. @defaultValue "1s"
   */
  readonly storeRetry?: Duration;
  /**
   * `false`: decides and tells, but allows all (shadow mode). A function is asked at each refusal, such as one that looks
   * at a feature flag. @defaultValue true
   */
  readonly enforce?: boolean | (() => boolean);
  /** Most that wait in `acquire`, of all keys together. 1 to 1,000,000. @defaultValue 1_000 */
  readonly maxWaiting?: number;
  /** How long one may wait in `acquire` unless it says otherwise. @defaultValue "30s" */
  readonly maxWait?: Duration;
  /** @defaultValue systemClock */
  readonly clock?: Clock;
}

/**
 * Whom a call counts against. With limits `by` one thing: its key, 1 to 512 characters. With limits by several: one key
 * for each, `{ user: "42", tenant: "acme" }`.
 */
export type SubjectOf<By extends string> =
  Readonly<Record<By, string>> | (IsUnion<By> extends true ? never : string);

export type IsUnion<T, Whole = T> = T extends unknown ? ([Whole] extends [T] ? false : true) : never;

export interface TakeOptions {
  /**
   * Integer from 0 to the limit's quota: of every limit, or by the limit's name, where one that is not named costs 1.
   * @defaultValue 1
   */
  readonly cost?: Cost;
  /** Other numbers for this call, such as those of a customer's plan: each in the place of the limit of its name. */
  readonly limits?: readonly Limit[];
}

export interface AskOptions extends TakeOptions {
  /** Aborts the question to a shared store; what it decides then is given back. */
  readonly signal?: AbortSignal | undefined;
}

export interface AcquireOptions extends AskOptions {
  /** How long to wait at most. @defaultValue the limiter's `maxWait` */
  readonly deadline?: Duration;
  /** Whose turn it is goes round the tenants that wait for the same subject. @defaultValue all are one tenant */
  readonly tenant?: string;
  /** The tenant's share: with 2 its turn comes twice as often as another's. Above 0, up to 1,000. @defaultValue 1 */
  readonly weight?: number;
}

/** Something taken beforehand, whose true cost is told later. Only the first word counts. */
export interface Reservation {
  readonly allowed: true;
  readonly decision: Allowed;
  /**
   * Gives back what was reserved and not used; takes what was used beyond it, even if there is not as much: later calls
   * wait for it. Costs of limits that are not named stay as reserved.
   */
  settle(cost: Cost): Promise<void>;
  /** Gives all of it back. */
  release(): Promise<void>;
}

/** A rate limiter. */
export interface RateLimiter<By extends string = "key"> {
  readonly name: string;
  readonly limits: readonly Limit<By>[];
  /**
   * Takes if all limits have as much, else changes nothing.
   *
   * @throws InvalidOptionError for a key, a cost or a limit that is none; StoreUnavailableError with
   * `onStoreError: "closed"`.
   */
  take(subject: SubjectOf<By>, options?: AskOptions): Promise<Decision>;
  /** As {@link take}, at once. @throws InvalidOptionError where the store is shared and has to be asked. */
  tryTake(subject: SubjectOf<By>, options?: TakeOptions): Decision;
  /** What a take would say; changes nothing. */
  peek(subject: SubjectOf<By>, options?: AskOptions): Promise<Decision>;
  /**
   * Takes as soon as it can: waits its turn among those who wait for the same subject.
   *
   * Turns go round the tenants by weight (self-clocked fair queueing: Golestani, 1994), and within one in order. Calls
   * of `take` do not wait and are not waited for.
   *
   * @throws RateLimitedError as soon as it is known that the deadline will pass before it can;
   * RateLimitQueueFullError when too many wait; the signal's reason when it aborts.
   */
  acquire(subject: SubjectOf<By>, options?: AcquireOptions): Promise<Allowed>;
  /** Takes the most that it can cost now, to be settled when the true cost is known: tokens of a language model. */
  reserve(subject: SubjectOf<By>, options?: AskOptions): Promise<Reservation | Refused>;
  /**
   * Gives back what a decision took, or `cost` of it: for a call that was not made after all. Tied to its window: what has
   * come back by itself is not given back again. Not more than once for the same cost.
   */
  refund(subject: SubjectOf<By>, decision: Decision, options?: AskOptions): Promise<void>;
  /**
   * Keeps what `concurrency` limits have given, renewing it in time, until the returned function is called, which gives it
   * back. Does nothing for other limits. For what is no task that {@link for} could run.
   */
  hold(subject: SubjectOf<By>, decision: Allowed, options?: TakeOptions): () => void;
  /** Refuses the subject for so long from now; 0 ends it. */
  block(subject: SubjectOf<By>, duration: Duration, options?: Pick<AskOptions, "signal">): Promise<void>;
  /** Forgets all that the subject has taken, and blocks. */
  reset(subject: SubjectOf<By>, options?: Pick<AskOptions, "signal">): Promise<void>;
  /**
   * This limiter as a policy for one subject: rejects with a `RateLimitedError`, or waits its turn. What a `concurrency`
   * limit has given is renewed while the task runs, and given back when it has ended.
   */
  for(subject: SubjectOf<By>, options?: LimiterPolicyOptions): Policy;
  snapshot(): RateLimiterSnapshot;
  /** Those who wait are rejected with `ClosedError`. The store stays open. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

export interface LimiterPolicyOptions
  extends TakeOptions, Pick<AcquireOptions, "tenant" | "weight" | "deadline"> {
  /** Whether to wait its turn instead of rejecting. @defaultValue false */
  readonly wait?: boolean;
}

/** A limiter's present state; plain JSON. */
export interface RateLimiterSnapshot {
  readonly kind: "rate-limiter";
  readonly name: string;
  readonly limits: readonly {
    readonly name: string;
    readonly by: string;
    readonly algorithm: string;
    readonly quota: number;
    readonly windowMs: number;
  }[];
  /** Those in `acquire`. */
  readonly waiting: number;
  /** `asked`: the store answers. Else what is done while it does not. */
  readonly store: "asked" | "open" | "local" | "closed";
}

/** Published as `holdfast:ratelimit:decision` for each take, if anyone listens. The subject is not part of it. */
export interface RateLimitDecisionEvent {
  readonly limiter: string;
  /** The limit that decided. */
  readonly limit: string;
  readonly allowed: boolean;
  /** `false`: it was refused, and let through all the same. */
  readonly enforced: boolean;
  readonly remaining: number;
  readonly retryAfterMs: number;
  readonly degraded?: "open" | "local";
}

/** Published as `holdfast:ratelimit:waited` when a wait in `acquire` has ended. */
export interface RateLimitWaitedEvent {
  readonly limiter: string;
  readonly outcome: "allowed" | "refused" | "aborted" | "closed" | "failed";
  readonly waitedMs: number;
}

/** Published as `holdfast:ratelimit:store` when the store could not be asked. */
export interface RateLimitStoreEvent {
  readonly limiter: string;
  readonly answer: "open" | "closed" | "local";
  readonly error: Error;
}
