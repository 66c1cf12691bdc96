// What can go wrong with a thread, one class per condition.
import { HoldfastError } from "@holdfast/core";

/** A thread ended in the middle of a task, which is tried again on another. `code: "THREAD_CRASHED"`. */
export class ThreadCrashedError extends HoldfastError {
  override readonly code = "THREAD_CRASHED";

  constructor(
    readonly task: string,
    why: string,
    options?: ErrorOptions,
  ) {
    super(`the thread of task "${task}" has ended: ${why}`, options);
  }
}

/** What a task threw on its thread. Its `code` is that error's own code, or its name. */
export class ThreadTaskError extends HoldfastError {
  override readonly code: string;

  constructor(
    message: string,
    options: ErrorOptions & { readonly code: string; readonly retryAfterMs?: number },
  ) {
    super(message, options);
    this.code = options.code;
  }
}
