// What a circuit breaker can be told, what it answers, and what it publishes.
import type {
  Clock,
  Context,
  Duration,
  Policy,
  PolicySnapshot,
  Random,
  RunOptions,
  Task,
} from "@holdfast/core";
import type { ShareCloseReport, ShareOptions, ShareSnapshot } from "../shared/share.ts";
import type { TripRule, WindowCounts } from "./rules/rule.ts";

/**
 * - `closed`: calls pass and are judged; after an open time, a growing share of them (`rampUp`).
 * - `open`: calls are refused until the open time is over.
 * - `half-open`: a few probes pass and decide; other calls are refused.
 * - `isolated`: held open by hand.
 */
export type CircuitState = "closed" | "open" | "half-open" | "isolated";

/** How long a breaker stays open: longer each time that it trips again soon. */
export interface OpenTimeOptions {
  /** The first time. From 1 ms. @defaultValue "5s" */
  readonly initial?: Duration;
  /** At most. Not below `initial`. @defaultValue "1m", or `initial` if that is more */
  readonly max?: Duration;
  /** How much longer each time. From 1. @defaultValue 2 */
  readonly factor?: number;
  /** Up to this share longer, by draw, so that a fleet does not probe as one. From 0 to 1. @defaultValue 0.1 */
  readonly jitter?: number;
}

export interface RampUpOptions {
  /** How long it takes from the first share of the calls to all of them. */
  readonly over: Duration;
  /** The share to begin with. Above 0, up to 1. @defaultValue 0.1 */
  readonly from?: number;
}

export interface CircuitBreakerOptions {
  /** @defaultValue "circuit-breaker" */
  readonly name?: string;
  /** @defaultValue timeWindow(): half of at least 20 calls within 10 s fail */
  readonly trip?: TripRule;
  /** @defaultValue 5 s, twice as long each time up to 1 min, up to 10% more by draw */
  readonly openFor?: Duration | OpenTimeOptions;
  /** Probes that must succeed before it closes, as many at a time. 1 to 1,000. @defaultValue 1 */
  readonly probes?: number;
  /** How long a probe may take; one that has not ended by then has failed. @defaultValue "30s" */
  readonly probeDeadline?: Duration;
  /** Lets the load come back slowly once it has closed. @defaultValue all at once */
  readonly rampUp?: RampUpOptions;
  /** Calls that take at least this long are slow. Needed by rules with a `slowRate`. */
  readonly slowCall?: Duration;
  /**
   * Which errors speak against the callee. A caller's abort is never asked about: it counts as nothing. One that
   * throws counts as `true`. @defaultValue all but `InvalidOptionError` and refusals of breakers, bulkheads and throttles further in
   */
  readonly isFailure?: (error: Error, context: Context) => boolean;
  /** Which results speak against the callee, such as a `Response` of status 503. @defaultValue none */
  readonly isFailureResult?: (value: unknown, context: Context) => boolean;
  /** Longest time that a `Retry-After` of a failure can keep it open. 0 ignores them. @defaultValue "5m" */
  readonly maxRetryAfter?: Duration;
  /**
   * `false`: judges and tells, but refuses nothing. A function is asked at each refusal, such as one that looks at a
   * feature flag. @defaultValue true
   */
  readonly enforce?: boolean | (() => boolean);
  /**
   * Shares the circuit with other processes, local first: while it is closed no call asks the store, and none ever waits
   * for it but one that wants to probe. @defaultValue it is this breaker's alone
   */
  readonly share?: ShareOptions;
  /** Told of every change, after it. What it throws changes nothing. */
  readonly onStateChange?: (event: CircuitStateEvent) => void;
  /** @defaultValue systemClock */
  readonly clock?: Clock;
  /** @defaultValue systemRandom */
  readonly random?: Random;
}

/** Why a call is refused. */
export interface Refusal {
  readonly admitted: false;
  readonly state: CircuitState;
  /** When it can let calls through again, in milliseconds, where that is known. */
  readonly retryAfterMs: number | undefined;
}

/** A call that may be made, and whose end is to be told. Only the first word counts. */
export interface Permit {
  readonly admitted: true;
  succeed(): void;
  /** Judged by `isFailure`; its `Retry-After` counts. */
  fail(error: unknown): void;
  /** It says nothing about the callee: it was aborted, or never made. */
  forget(): void;
}

/** A circuit breaker. */
export interface CircuitBreaker extends Policy {
  readonly state: CircuitState;
  /** Runs the task, or rejects with a `CircuitOpenError` without starting it. */
  run<T>(task: Task<T>, options?: RunOptions): Promise<T>;
  /** As {@link run}, with the refusal as a value. */
  tryRun<T>(
    task: Task<T>,
    options?: RunOptions,
  ): Promise<{ readonly admitted: true; readonly value: T } | Refusal>;
  /**
   * For calls that are no promise, such as streams: asks, and is told later how it ended. Never waits: when the fleet's
   * leave to probe is needed and not at hand, it refuses and asks for it, so that the next call within the
   * `probeDeadline` has it. Where calls are rarer than that, {@link tryRun} probes with the first one.
   */
  acquire(): Permit | Refusal;
  /** Holds it open, here, until the returned function is called, by each who has called this, or until {@link reset}. */
  isolate(): () => void;
  /** Closes it, here, forgets all that it has counted, and ends all isolation. */
  reset(): void;
  snapshot(): CircuitSnapshot;
  /**
   * Takes over what another process, or this one before a restart, has seen: an open breaker stays open for the time
   * that was left. Counts are not taken over.
   *
   * @throws InvalidOptionError when it is no snapshot of a circuit breaker.
   */
  restore(snapshot: Pick<CircuitSnapshot, "state" | "opens"> & { readonly openForMs?: number }): void;
  /**
   * Leaves the fleet, giving its leases back, within so much time; from then on it is a local breaker. Does nothing for
   * one that is not shared, or that is one of `circuitBreakers`, which leave together. @defaultValue within: the `timeout` of `share`
   */
  close(options?: { readonly within?: Duration }): Promise<ShareCloseReport>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** A breaker's present state; plain JSON. */
export interface CircuitSnapshot extends PolicySnapshot {
  readonly kind: "circuit-breaker";
  readonly state: CircuitState;
  /** Goes up with every change of state. */
  readonly generation: number;
  /** Share of calls that pass: 1 closed, less while the load ramps up, 0 otherwise. */
  readonly admits: number;
  /** How long it stays open from now; only while it is open. */
  readonly openForMs?: number;
  /** How often in a row it has opened without a rest of its last open time. */
  readonly opens: number;
  /** Probes that are out, and that have succeeded; 0 unless half-open. */
  readonly probing: number;
  readonly probed: number;
  /** What the rule has counted. */
  readonly counts: WindowCounts;
  /** How it stands to its fleet; only if it is shared. */
  readonly share?: ShareSnapshot;
}

/** Published as `holdfast:breaker:state` at every change. */
export interface CircuitStateEvent {
  readonly breaker: string;
  readonly from: CircuitState;
  readonly to: CircuitState;
  /** `tripped`, `probe_failed`, `probe_hung`, `open_time_over`, `probes_succeeded`, `isolated`, `released`, `reset`, `restored` or `shared`. */
  readonly reason: CircuitReason;
  readonly generation: number;
  /** How long it stays open, in milliseconds; only to `open`. */
  readonly openForMs?: number;
  /** What made it trip, where an error did. */
  readonly error?: Error;
}

export type CircuitReason =
  | "tripped"
  | "probe_failed"
  | "probe_hung"
  | "open_time_over"
  | "probes_succeeded"
  | "isolated"
  | "released"
  | "reset"
  | "restored"
  | "shared";

/** Published as `holdfast:breaker:refused` for every call that is refused, or would be if it were enforced. */
export interface CircuitRefusedEvent {
  readonly breaker: string;
  readonly state: CircuitState;
  readonly enforced: boolean;
}
