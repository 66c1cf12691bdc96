// What finds a limit: an algorithm, told of each call that has ended.

/** One call that has ended. */
export interface LimitSample {
  /** How long it took, in milliseconds. */
  readonly rttMs: number;
  /** Calls that ran when it began, itself included. */
  readonly inFlight: number;
  /** Whether it failed for lack of capacity: it timed out, or the callee said so. */
  readonly dropped: boolean;
}

/** The bounds of a limit. */
export interface LimitBounds {
  readonly min: number;
  readonly max: number;
  readonly initial: number;
}

/** A limit on its way. */
export interface AdaptiveLimit {
  /** Learns from a call; answers the limit from now on, not rounded. */
  update(sample: LimitSample): number;
  /** For snapshots: what it knows, in plain numbers. */
  state(): Readonly<Record<string, number>>;
}

/** How a limit is found. Made by {@link gradient2} or {@link aimd}. Knows no time but that of the samples. */
export interface LimitAlgorithm {
  readonly name: string;
  /** A limit of its own for one policy. */
  start(bounds: LimitBounds): AdaptiveLimit;
}

/** `value`, held within the bounds. */
export function bounded(value: number, { min, max }: LimitBounds): number {
  return Math.min(max, Math.max(min, value));
}
