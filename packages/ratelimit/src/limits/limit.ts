// A limit: how much, of what, in which time; and the arithmetic behind it.

/** One limit. Made by `tokenBucket`, `leakyBucket`, `gcra`, `fixedWindow`, `slidingWindow`, `slidingLog`, `concurrency`. */
export interface Limit<By extends string = string> {
  /** Unique among the limits of one limiter; part of its keys in a shared store. */
  readonly name: string;
  /** Which part of the subject it counts by: `"key"` unless told otherwise. */
  readonly by: By;
  readonly algorithm: LimitAlgorithm;
  /** Most that can be taken at once. */
  readonly quota: number;
  /** Time in which a whole quota comes back, in milliseconds; for `concurrency` the longest lease. */
  readonly windowMs: number;
  readonly rule: Rule;
  /**
   * What each of `instances` may let through so that all together keep the limit. Where that is less than one at a time it
   * is one, of a window or a bucket in a longer time; places of `concurrency` are then as many as there are instances.
   */
  share(instances: number): Limit<By>;
}

export type LimitAlgorithm =
  | "token-bucket"
  | "leaky-bucket"
  | "gcra"
  | "fixed-window"
  | "sliding-window"
  | "sliding-log"
  | "concurrency";

/** What every limit can be told besides its numbers. */
export interface LimitOptions<By extends string> {
  /** 1 to 64 letters, digits, `-`, `_` or `.`. @defaultValue the algorithm's, such as `"token-bucket"` */
  readonly name?: string;
  /**
   * The part of the subject it counts by, for limiters with limits by user, by tenant and so on. As `name`.
   * @defaultValue "key"
   */
  readonly by?: By;
}

/**
 * The arithmetic of a limit: deterministic functions of state, time and cost. Time is in whole microseconds and never
 * read here; counts are integers below 2^53, so nothing drifts. States are changed in place, since a limiter that
 * allocates for each call spends more on that than on deciding.
 *
 * The scripts of shared stores do the same arithmetic from {@link kind} and {@link parameters}.
 */
export interface Rule<State extends LimitState = LimitState> {
  readonly kind: RuleKind;
  /** Integers, as scripts take them. */
  readonly parameters: readonly number[];
  /** A state from which nothing has been taken. */
  create(): State;
  /**
   * Brings a state up to `now`, and over to this rule's numbers if it was written under others. All that follows is
   * about a state that has been brought up to the same `now`.
   */
  advance(state: State, now: number): void;
  /** How long until `cost` can be taken, in microseconds, if nobody takes any before: 0 now. */
  waitFor(state: State, now: number, cost: number): number;
  /** Takes `cost`, whether or not there is as much. What it answers is what a refund is to name. */
  spend(state: State, now: number, cost: number): number;
  /** Gives back what of a spend still counts. */
  refund(state: State, now: number, cost: number, mark: number): void;
  /** Lets the lease of a spend begin anew, where there are leases. @returns whether it was still held. */
  renew?(state: State, now: number, mark: number): boolean;
  /** What can be taken now. */
  remaining(state: State, now: number): number;
  /** How long until {@link remaining} grows, in microseconds; 0 when it is the whole quota. */
  growsIn(state: State, now: number): number;
  /** How long until nothing of it counts any more, in microseconds: it can be forgotten then. */
  restsIn(state: State, now: number): number;
}

export type RuleKind = "bucket" | "fixed" | "sliding" | "log" | "slots";

/** What the state of every kind has. */
export interface LimitState {
  /** Nothing may be taken before this time, in microseconds. */
  blockedUntil: number;
}

/** Longest period of a limit: a leap year. */
export const MAX_PERIOD_MS: number = 366 * 24 * 60 * 60 * 1_000;
