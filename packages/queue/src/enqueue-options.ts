// What is said about a task when it is added, and what is answered.
import type { Duration } from "@holdfast/core";
import type { TaskDefinition } from "./task.ts";

export interface EnqueueOptions {
  /** An ID of the caller's own: a second task with it is refused with a {@link TaskExistsError}. */
  readonly id?: string;
  /** Not before this long from now. @defaultValue 0 */
  readonly delay?: Duration;
  /** Higher goes first. Integer from -1,000 to 1,000. @defaultValue 0 */
  readonly priority?: number;
  /** At most one live task has this key: a second one is not added, and answers with the first one's ID. */
  readonly dedupKey?: string;
  /**
   * Tasks of a group run one at a time, in the order they were added: one that is delayed or waits for another try
   * holds up those behind it.
   */
  readonly group?: string;
  /** Aborts before the task is sent. One that was sent may have been added, whatever the abort. */
  readonly signal?: AbortSignal | undefined;
}

/** One of many tasks to be added together. */
export interface EnqueueItem<Input> extends Omit<EnqueueOptions, "signal"> {
  readonly input: Input;
}

/** What became of a task that was to be added. */
export interface Enqueued {
  readonly id: string;
  /** Whether a live task with the same dedup key was there already; `id` is that task's. */
  readonly duplicate: boolean;
}

/** A task that is enqueued through a {@link Queue}: what goes in is known, what comes out does not matter. */
export type EnqueuedTask<Input> = TaskDefinition<Input, unknown, never, unknown>;
