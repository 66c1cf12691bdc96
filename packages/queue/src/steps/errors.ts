// What can go wrong with steps, one class per condition a handler treats differently.
import { HoldfastError } from "@holdfast/core";
import type { ChildOutcome } from "./children-contract.ts";

/** A run came back to a step that was recorded as something else. `code: "STEP_MISMATCH"`; permanent. */
export class StepMismatchError extends HoldfastError {
  override readonly code = "STEP_MISMATCH";
  readonly permanent = true;

  constructor(
    readonly taskId: string,
    readonly step: string,
    /** Whether its input differs, or what kind of step it is. */
    readonly what: "input" | "kind",
    /** The recorded digest or kind. */
    readonly stored: string,
    /** Today's. */
    readonly current: string,
  ) {
    super(`step "${step}" of task ${taskId} was recorded with the ${what} ${stored}, and now has ${current}`);
  }

  protected override problemFields(): Readonly<Record<string, unknown>> {
    return { step: this.step, what: this.what, stored: this.stored, current: this.current };
  }
}

/** A task has as many steps as it may. `code: "TOO_MANY_STEPS"`; permanent. */
export class TooManyStepsError extends HoldfastError {
  override readonly code = "TOO_MANY_STEPS";
  readonly permanent = true;

  constructor(
    readonly taskId: string,
    readonly maxSteps: number,
  ) {
    super(`task ${taskId} has ${maxSteps} steps, as many as it may have`);
  }
}

/** An event did not come in time. `code: "EVENT_TIMEOUT"`; permanent, since this wait is over for good. */
export class EventTimeoutError extends HoldfastError {
  override readonly code = "EVENT_TIMEOUT";
  override readonly status = 504;
  readonly permanent = true;

  constructor(
    readonly taskId: string,
    readonly event: string,
  ) {
    super(`event "${event}" of task ${taskId} did not come in time`);
  }

  protected override problemFields(): Readonly<Record<string, unknown>> {
    return { event: this.event };
  }
}

/**
 * The run has ended in a wait, and the task will come back. The reason with which its signal tells whatever the handler
 * left running beside its steps. `code: "TASK_SUSPENDED"`.
 */
export class TaskSuspendedError extends HoldfastError {
  override readonly code = "TASK_SUSPENDED";
  override readonly status = 503;

  constructor(readonly taskId: string) {
    super(`task ${taskId} waits and has given its slot back`);
  }
}

/** A child of a task has not completed. `code: "CHILD_FAILED"`; permanent. */
export class ChildFailedError extends HoldfastError {
  override readonly code = "CHILD_FAILED";
  readonly permanent = true;

  constructor(
    readonly childId: string,
    /** What became of it. */
    readonly outcome: Exclude<ChildOutcome, { readonly state: "completed" }>,
  ) {
    super(`child ${childId} has not completed: ${reasonOf(outcome)}`);
  }

  protected override problemFields(): Readonly<Record<string, unknown>> {
    return { childId: this.childId, state: this.outcome.state };
  }
}

function reasonOf(outcome: ChildFailedError["outcome"]): string {
  if (outcome.state === "failed") return `it failed with ${outcome.error.code}: ${outcome.error.message}`;
  return outcome.state === "cancelled" ? `it was cancelled: ${outcome.reason}` : "it is no longer kept";
}
