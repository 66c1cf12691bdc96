// What can go wrong with tasks, one class per condition a caller handles differently.
import { HoldfastError } from "@holdfast/core";

/** The queue holds as many live tasks as it may. `code: "QUEUE_FULL"`. */
export class QueueFullError extends HoldfastError {
  override readonly code = "QUEUE_FULL";
  override readonly status = 503;

  constructor(
    readonly queue: string,
    /** Live tasks in the queue. */
    readonly live: number,
    retryAfterMs: number,
  ) {
    super(`queue "${queue}" is full: ${live} tasks are waiting or running`, { retryAfterMs });
  }

  protected override problemFields(): Readonly<Record<string, unknown>> {
    return { queue: this.queue };
  }
}

/** There is no task of this ID, or it is no longer kept. `code: "TASK_NOT_FOUND"`. */
export class TaskNotFoundError extends HoldfastError {
  override readonly code = "TASK_NOT_FOUND";
  override readonly status = 404;

  constructor(readonly taskId: string) {
    super(`there is no task ${JSON.stringify(taskId.slice(0, 100))}, or it is no longer kept`);
  }
}

/** A task's ID is taken. `code: "TASK_EXISTS"`. */
export class TaskExistsError extends HoldfastError {
  override readonly code = "TASK_EXISTS";
  override readonly status = 409;

  constructor(readonly taskId: string) {
    super(`there is a task ${JSON.stringify(taskId)} already`);
  }
}

/** A task was asked about with the definition of another. `code: "WRONG_TASK"`. */
export class WrongTaskError extends HoldfastError {
  override readonly code = "WRONG_TASK";
  override readonly status = 409;

  constructor(
    readonly taskId: string,
    /** What it is called. */
    readonly task: string,
    /** The name of the definition. */
    readonly expected: string,
  ) {
    super(`task ${JSON.stringify(taskId.slice(0, 100))} is a "${task.slice(0, 100)}", not a "${expected}"`);
  }
}

/** A task was to be the child of one that is not there, or has ended. `code: "NO_PARENT"`. */
export class NoParentError extends HoldfastError {
  override readonly code = "NO_PARENT";
  override readonly status = 409;

  constructor(readonly taskId: string) {
    super(`the parent of task ${JSON.stringify(taskId)} is not there, or has ended`);
  }
}

/** A value does not fit the task's schema. `code: "INVALID_PAYLOAD"`. */
export class InvalidPayloadError extends HoldfastError {
  override readonly code = "INVALID_PAYLOAD";
  override readonly status = 422;

  constructor(
    readonly task: string,
    readonly end: "input" | "output",
    /** What the schema objected to. */
    readonly issues: readonly string[],
  ) {
    super(`the ${end} of task "${task}" is not valid: ${issues.join("; ").slice(0, 1_000)}`);
  }

  protected override problemFields(): Readonly<Record<string, unknown>> {
    return { issues: this.issues };
  }
}

/** A value is larger than the queue allows. `code: "PAYLOAD_TOO_LARGE"`. */
export class PayloadTooLargeError extends HoldfastError {
  override readonly code = "PAYLOAD_TOO_LARGE";
  override readonly status = 413;

  constructor(
    readonly bytes: number,
    readonly maxBytes: number,
  ) {
    super(`the payload has ${bytes} bytes, more than the ${maxBytes} allowed`);
  }

  protected override problemFields(): Readonly<Record<string, unknown>> {
    return { bytes: this.bytes, maxBytes: this.maxBytes };
  }
}

/** A value cannot be stored. `code: "UNSERIALIZABLE"`. */
export class UnserializableError extends HoldfastError {
  override readonly code = "UNSERIALIZABLE";
  override readonly status = 422;

  constructor(why: string, options?: ErrorOptions) {
    super(`the payload cannot be stored: ${why}`, options);
  }
}

/** An input has a version that this worker has no way from. `code: "PAYLOAD_VERSION"`. */
export class PayloadVersionError extends HoldfastError {
  override readonly code = "PAYLOAD_VERSION";
  override readonly status = 422;
  /** Whether no further try can help. */
  readonly permanent: boolean;

  constructor(
    readonly task: string,
    /** Of the input. */
    readonly version: number,
    /** What this worker knows. */
    readonly known: number,
    /** Whether the task is to be given back, for a worker that knows it. */
    readonly givesBack: boolean,
  ) {
    super(`the input of task "${task}" has version ${version}, and version ${known} is what is known here`);
    this.permanent = !givesBack;
  }
}

/** As many callers wait for room in the queue as may. `code: "TOO_MANY_WAITING"`. */
export class TooManyWaitingError extends HoldfastError {
  override readonly code = "TOO_MANY_WAITING";
  override readonly status = 503;

  constructor(
    readonly queue: string,
    readonly waiting: number,
    retryAfterMs: number,
  ) {
    super(`queue "${queue}" is full, and ${waiting} callers of this process wait for room in it`, {
      retryAfterMs,
    });
  }

  protected override problemFields(): Readonly<Record<string, unknown>> {
    return { queue: this.queue };
  }
}

/** The task was cancelled. The reason its handler's signal aborts with. `code: "TASK_CANCELLED"`. */
export class TaskCancelledError extends HoldfastError {
  override readonly code = "TASK_CANCELLED";
  override readonly status = 409;

  constructor(
    readonly taskId: string,
    readonly reason: string,
  ) {
    super(`task ${taskId} was cancelled: ${reason}`);
  }

  protected override problemFields(): Readonly<Record<string, unknown>> {
    return { taskId: this.taskId, reason: this.reason };
  }
}

/** The task failed for good. `code: "TASK_FAILED"`; `reason` is the code of what its handler threw. */
export class TaskFailedError extends HoldfastError {
  override readonly code = "TASK_FAILED";
  override readonly status = 500;

  constructor(
    readonly taskId: string,
    readonly reason: string,
    message: string,
  ) {
    super(message);
  }

  protected override problemFields(): Readonly<Record<string, unknown>> {
    return { taskId: this.taskId, reason: this.reason };
  }
}

/** Thrown by a handler: no further try can help, straight to the dead-letter queue. `code: "PERMANENT"`. */
export class PermanentError extends HoldfastError {
  override readonly code: string;
  /** Recognised by this, whatever code it was given. */
  readonly permanent = true;

  constructor(message: string, options?: ErrorOptions & { readonly code?: string }) {
    super(message, options);
    this.code = options?.code ?? "PERMANENT";
  }
}

/** A worker that closes gives the task back; another will run it. `code: "WORKER_CLOSING"`. */
export class WorkerClosingError extends HoldfastError {
  override readonly code = "WORKER_CLOSING";
  override readonly status = 503;

  constructor() {
    super("the worker is closing; the task is given back");
  }
}

/** No worker that claimed the task has a handler for it. `code: "NO_HANDLER"`. */
export class NoHandlerError extends HoldfastError {
  override readonly code = "NO_HANDLER";

  constructor(readonly task: string) {
    super(`this worker has no handler for task "${task}"`);
  }
}
