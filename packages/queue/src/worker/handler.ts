// How tasks of a kind are run: what a handler is told, and what it may say.
import { optionsOf } from "@holdfast/core";
import type { Steps } from "../steps/contract.ts";
import type { TaskDefinition } from "../task/task.ts";

/** What a handler receives. */
export interface TaskContext<Input> {
  readonly id: string;
  /** As the task's schema gave it out. */
  readonly input: Input;
  /** Which try this is, from 1. Not unique: a try whose lease was lost is made again under the same number. */
  readonly attempt: number;
  readonly maxAttempts: number;
  /**
   * The fencing token of this run: higher than that of any run of this task before. Hand it to what you write to,
   * and let that refuse a lower one than it has seen.
   */
  readonly fence: number;
  /**
   * Aborts when the task is cancelled (`TASK_CANCELLED`), its time is up (`TIMEOUT`), its lease is lost
   * (`LEASE_LOST`), the worker closes (`WORKER_CLOSING`) or the run has ended in a wait (`TASK_SUSPENDED`). Made
   * when it is first read.
   */
  readonly signal: AbortSignal;
  /** Whether the run has been aborted. Cheaper to ask than `signal.aborted`. */
  readonly aborted: boolean;
  /** Milliseconds left of this run's timeout. */
  readonly remainingMs: number;
  /** Durable steps: what is done once stays done. A task that uses none pays nothing. */
  readonly step: Steps;
  /** Throws the abort's reason if the run has been aborted. */
  throwIfAborted(): void;
  /**
   * Reports progress: a percentage, or any JSON of up to 8 KiB. Of several reported before the store has taken the
   * first, the latest counts. Need not be awaited; awaited, it rejects with a `LeaseLostError` or
   * `TaskCancelledError` when the task is no longer ours.
   */
  readonly progress: (value: unknown) => Promise<void>;
  /** Adds a line to the task's events, cut at 2,000 characters. Rejects as {@link progress} does. */
  readonly log: (line: string) => Promise<void>;
}

/** Runs tasks of one kind. Made by {@link handle}, which ties the types of both together. */
export interface TaskHandler {
  readonly task: TaskDefinition<never, unknown, never, unknown>;
  readonly run: (context: TaskContext<never>) => unknown;
}

/**
 * Says how tasks of a kind are run. What `run` returns is the result; what it throws fails the try, a
 * `PermanentError` the task.
 *
 * @throws InvalidOptionError for what is no task or no function.
 *
 * @example
 * ```ts
 * import { defineTask, handle } from "@holdfast/queue";
 *
 * const shout = defineTask<string, string, string>({ name: "shout" });
 * handle(shout, ({ input }) => input.toUpperCase()).task.name; // => "shout"
 * ```
 */
export function handle<Input, Parsed, Result, Output>(
  task: TaskDefinition<Input, Parsed, Result, Output>,
  run: (context: TaskContext<Parsed>) => Result | Promise<Result>,
): TaskHandler {
  const check = optionsOf("handle");
  if (typeof task?.parseInput !== "function") check.refuse("task", task, "a task made by defineTask()");
  if (typeof run !== "function") check.refuse("run", run, "a function");
  return { task, run };
}
