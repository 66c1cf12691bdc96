// What trips a breaker: a rule, and the counter that each breaker keeps by it.

/** When a breaker trips. Made by `consecutive`, `countWindow` or `timeWindow`; can be shared between breakers. */
export interface TripRule {
  readonly kind: "consecutive" | "count-window" | "time-window";
  /** Such as `50% of at least 20 calls in 10s fail`. */
  readonly summary: string;
  /** Whether slow calls count. */
  readonly countsSlow: boolean;
  /** A counter of its own for one breaker. */
  counter(): TripCounter;
}

/** Counts calls by a rule. Times are a clock's monotonic milliseconds. */
export interface TripCounter {
  /** Whether {@link record} looks at `now`. */
  readonly needsTime: boolean;
  /** Counts a call that has ended. Answers whether the breaker is to trip now. */
  record(failed: boolean, slow: boolean, now: number): boolean;
  /** Forgets all. */
  reset(): void;
  /** What it has counted, as it is at `now`. */
  counts(now: number): WindowCounts;
}

/** Calls counted. */
export interface WindowCounts {
  readonly calls: number;
  readonly failures: number;
  readonly slow: number;
}
