// What is said about a task when it is added, and what is answered.
import type { Duration } from "@holdfast/core";
import type { TaskDefinition } from "../task/task.ts";

/** A group of tasks and how they run. */
export interface GroupOptions {
  readonly key: string;
  /** Tasks of the group that run at a time. @defaultValue 1 */
  readonly concurrency?: number;
  /**
   * Starts: as many as `tasks` at once, and then as they come in evenly, `tasks` in `per`. @defaultValue as many as come
   */
  readonly rate?: { readonly tasks: number; readonly per: Duration };
}

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
   * Tasks of a group run in the order they were added, one at a time if nothing else is said: one that is delayed or
   * waits for another try keeps its place, and holds up those behind it. Limits are of the group: what was said last
   * counts for all its tasks, a key alone says nothing.
   */
  readonly group?: string | GroupOptions;
  /**
   * The ID of a live task that this one is a child of: it is cancelled with it, and can be waited for there. One that is
   * not there, or has ended, is refused with a {@link NoParentError}.
   */
  readonly parent?: string;
  /** Whose task it is: tenants take turns, however much any of them adds. */
  readonly tenant?: string;
  /** The tenant's share beside the others', from 1 to 60. @defaultValue 1 */
  readonly weight?: number;
  /**
   * If it has not been started by then, it is cancelled for the reason `"expired"`. Counts from now, a delay included.
   * @defaultValue never
   */
  readonly expiresIn?: Duration;
  /** What to do when the queue is full. @defaultValue the queue's, which is "reject" */
  readonly whenFull?: WhenFull;
  /** How long to wait for room. @defaultValue the queue's, which is "30s" */
  readonly maxWait?: Duration;
  /** Aborts before the task is sent. One that was sent may have been added, whatever the abort. */
  readonly signal?: AbortSignal | undefined;
}

/** `"reject"`: with a {@link QueueFullError} at once. `"wait"`: until there is room, for `maxWait` at most. */
export type WhenFull = "reject" | "wait";

/** What concerns the call, rather than a task. */
export type EnqueueCallOptions = Pick<EnqueueOptions, "whenFull" | "maxWait" | "signal">;

/** One of many tasks to be added together. */
export interface EnqueueItem<Input> extends Omit<EnqueueOptions, keyof EnqueueCallOptions> {
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
