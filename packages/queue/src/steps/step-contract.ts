// One durable step: what its function is told, what may be said about it, and what it tells.
import type { Policy } from "@holdfast/core";
import type { StandardSchemaV1 } from "@standard-schema/spec";

/** What the function of a step receives. */
export interface StepContext {
  /** Aborts with the run: cancelled, out of time, lease lost, worker closing. Made when it is first read. */
  readonly signal: AbortSignal;
  /**
   * The same whenever this step of this task runs: its task's ID, a slash, its name. A step whose outcome was not
   * recorded runs again; hand this to whom you call, so that it does there no second time what it has done.
   */
  readonly idempotencyKey: string;
  /** Which try of the task this is, from 1. */
  readonly attempt: number;
  /** The fencing token of this run. */
  readonly fence: number;
}

export interface StepOptions<Result, Output> {
  /**
   * What the step's outcome depends on. Its digest is recorded; a run that comes back to the step with another input
   * fails with a {@link StepMismatchError} instead of taking the outcome of something else.
   */
  readonly input?: unknown;
  /** Checked on what JSON makes of the outcome, whenever it is answered. Any Standard Schema. */
  readonly output?: StandardSchemaV1<Result, Output>;
  /** Wraps the function: `retry`, `timeout`, a breaker, a `pipeline` of them. Its waits hold the slot. */
  readonly policy?: Policy;
}

/** Published as `holdfast:queue:step_ended` when a step's function has run and its outcome was recorded or refused. */
export interface StepEndedEvent {
  readonly queue: string;
  readonly worker: string;
  readonly task: string;
  readonly id: string;
  readonly step: string;
  readonly attempt: number;
  readonly fence: number;
  readonly durationMs: number;
  /** `refused`: it succeeded, but the lease was lost before that could be recorded. */
  readonly outcome: "completed" | "failed" | "refused";
}

/** The bounds of steps. */
export const STEP_LIMITS: {
  /** Records of one task. */
  readonly maxSteps: number;
  /** Waits up to this long keep their slot, in milliseconds. */
  readonly stayMs: number;
} = { maxSteps: 10_000, stayMs: 1_000 };
