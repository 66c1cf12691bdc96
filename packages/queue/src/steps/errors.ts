// What can go wrong with steps, one class per condition a handler treats differently.
import { HoldfastError } from "@holdfast/core";
import type { TaskFailure } from "../task/task-status.ts";
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

/** A saga could not be done and has been undone. `code: "SAGA_COMPENSATED"`; permanent. */
export class SagaCompensatedError extends HoldfastError {
  override readonly code = "SAGA_COMPENSATED";
  override readonly status = 409;
  readonly permanent = true;

  constructor(
    readonly taskId: string,
    readonly saga: string,
    /** Why it was undone. */
    readonly reason: TaskFailure,
  ) {
    super(`saga "${saga}" of task ${taskId} was undone: ${reason.code}: ${reason.message}`);
  }

  protected override problemFields(): Readonly<Record<string, unknown>> {
    return { saga: this.saga, reason: this.reason.code };
  }
}

/**
 * A saga cannot be undone without somebody's help: its task is among the dead letters, and goes on undoing when it is
 * redriven. `code: "SAGA_PARKED"`; permanent. Handlers do not see it.
 */
export class SagaParkedError extends HoldfastError {
  override readonly code = "SAGA_PARKED";
  readonly permanent = true;

  constructor(
    readonly taskId: string,
    readonly saga: string,
    /** Steps that are not undone, in the order in which they are to be. */
    readonly open: readonly string[],
    /** What became of the first. */
    why: string,
  ) {
    super(`saga "${saga}" of task ${taskId} is parked, to be undone: ${open.join(", ")}. ${why}`);
  }

  protected override problemFields(): Readonly<Record<string, unknown>> {
    return { saga: this.saga, open: this.open };
  }
}

/** A saga is to be undone, and its body no longer comes to one of its steps. `code: "STEP_NOT_REACHED"`. */
export class StepNotReachedError extends HoldfastError {
  override readonly code = "STEP_NOT_REACHED";

  constructor(
    readonly saga: string,
    readonly step: string,
  ) {
    super(`the body of saga "${saga}" does not come to step "${step}" any more`);
  }
}

/** A saga was not done by its deadline. `code: "SAGA_DEADLINE"`. */
export class SagaDeadlineError extends HoldfastError {
  override readonly code = "SAGA_DEADLINE";
  override readonly status = 504;

  constructor(
    readonly saga: string,
    /** Wall time in milliseconds since the epoch. */
    readonly deadline: number,
  ) {
    super(`saga "${saga}" was not done by ${new Date(deadline).toISOString()}`);
  }
}

/** Somebody asked for a saga to be undone. `code: "SAGA_CANCELLED"`. */
export class SagaCancelledError extends HoldfastError {
  override readonly code = "SAGA_CANCELLED";
  override readonly status = 409;

  constructor(
    readonly saga: string,
    /** The event. */
    readonly event: string,
  ) {
    super(`saga "${saga}" was cancelled by the event "${event}"`);
  }
}

/** A handler returned without waiting for its saga. `code: "SAGA_OPEN"`. */
export class SagaOpenError extends HoldfastError {
  override readonly code = "SAGA_OPEN";

  constructor(readonly saga: string) {
    super(`the handler has returned and saga "${saga}" is open`);
  }
}
