// A queue as its users see it: what it can be told, and everything one may ask of it.
import type { Clock, Duration } from "@holdfast/core";
import type { Enqueued, EnqueuedTask, EnqueueItem, EnqueueOptions } from "./enqueue-options.ts";
import type { QueueStats, QueueStore } from "./store.ts";
import type { TaskDefinition } from "./task.ts";
import type { TaskIdMaker } from "./task-id.ts";
import type { TaskEvent, TaskStatus } from "./task-status.ts";

export interface QueueOptions {
  /** Letters, digits, dots, hyphens, underscores; at most 100. */
  readonly name: string;
  readonly store: QueueStore;
  /** Most live tasks; what would go beyond is refused with a {@link QueueFullError}. @defaultValue 100_000 */
  readonly limit?: number;
  /** Largest input and largest result, in bytes. @defaultValue 1_048_576 (1 MiB) */
  readonly maxPayloadBytes?: number;
  /** What a refused caller is told to wait. @defaultValue "1s" */
  readonly retryAfter?: Duration;
  /** @defaultValue uuidV7() */
  readonly taskId?: TaskIdMaker;
  /** For IDs, and for the workers of this queue. @defaultValue systemClock */
  readonly clock?: Clock;
}

/** What waits take. */
export interface WaitOptions {
  readonly signal?: AbortSignal | undefined;
}

/** Adds tasks and follows them. Makes no connection and holds no timer of its own. */
export interface Queue extends AsyncDisposable {
  readonly name: string;
  readonly store: QueueStore;
  readonly maxPayloadBytes: number;
  readonly clock: Clock;

  /**
   * Adds a task; resolves with its ID once the store has it.
   *
   * @throws InvalidPayloadError, PayloadTooLargeError, UnserializableError, QueueFullError, TaskExistsError
   */
  enqueue<Input>(task: EnqueuedTask<Input>, input: Input, options?: EnqueueOptions): Promise<Enqueued>;

  /**
   * Adds tasks, in order, in one step. Nothing is added when one of them is not valid or they do not all fit. One
   * whose ID is taken does not keep the others out: they have been added when this throws a {@link TaskExistsError}.
   *
   * @throws as {@link enqueue} does.
   */
  enqueueMany<Input>(
    task: EnqueuedTask<Input>,
    items: readonly EnqueueItem<Input>[],
    options?: WaitOptions,
  ): Promise<readonly Enqueued[]>;

  /** @throws TaskNotFoundError */
  status(id: string): Promise<TaskStatus>;

  /**
   * Waits until the task has ended and answers its result.
   *
   * @throws TaskFailedError, TaskCancelledError, TaskNotFoundError, or the signal's reason.
   */
  wait<Output>(
    task: TaskDefinition<never, unknown, never, Output>,
    id: string,
    options?: WaitOptions,
  ): Promise<Output>;

  /** The result of a completed task as it was stored; `undefined` while there is none. @throws TaskNotFoundError */
  result(id: string): Promise<{ readonly value: unknown } | undefined>;

  /**
   * What happens to a task, from the event after number `after` (default 0: from the start) until it has ended.
   * Reads on when its reader does: a slow reader holds nothing up and costs no memory, but may miss events that are
   * no longer kept, which shows as a gap in their numbers.
   *
   * @throws TaskNotFoundError, also when the task is forgotten meanwhile, or the signal's reason.
   */
  events(
    id: string,
    options?: { readonly after?: number | undefined; readonly signal?: AbortSignal | undefined },
  ): AsyncGenerator<TaskEvent, void, undefined>;

  /**
   * Ends a task that has not ended. One that runs is told through its handler's signal, wherever it runs; whatever
   * that does, the task is cancelled. Answers whether it was this call that ended it.
   *
   * @throws TaskNotFoundError
   */
  cancel(id: string, reason?: string): Promise<boolean>;

  stats(): Promise<QueueStats>;

  /** Failed tasks, the oldest failure first: at most `max` (default 100), behind the one with the ID `after`. */
  deadLetters(page?: { readonly max?: number; readonly after?: string }): Promise<readonly TaskStatus[]>;
  /** Makes failed tasks ready again, with all their tries. Answers how many. */
  redrive(...ids: readonly string[]): Promise<number>;
  /** Forgets ended tasks. Answers how many. */
  discard(...ids: readonly string[]): Promise<number>;

  /** Adds no more. The store stays open: it belongs to whoever made it. */
  close(): Promise<void>;
}

/** The defaults of `queue`. */
export const QUEUE_DEFAULTS: {
  readonly limit: number;
  readonly maxPayloadBytes: number;
  readonly retryAfterMs: number;
} = { limit: 100_000, maxPayloadBytes: 1_048_576, retryAfterMs: 1_000 };
