// A queue as its users see it: what it can be told, and everything one may ask of it.
import type { Clock, Duration, Random } from "@holdfast/core";
import type { PayloadCodec } from "../codec/payload-codec.ts";
import type {
  FireOutcome,
  QueueMeter,
  QueueStats,
  QueueStore,
  Schedule,
  SignalOutcome,
} from "../store/store.ts";
import type { PayloadFormat } from "../task/payload-format.ts";
import type { TaskIdMaker } from "../task/task-id.ts";
import type { TaskEvent, TaskState, TaskStatus } from "../task/task-status.ts";
import type { TaskTracing } from "../task/task-tracing.ts";
import type { TaskDefinition } from "../task/task.ts";
import type {
  Enqueued,
  EnqueueCallOptions,
  EnqueuedTask,
  EnqueueItem,
  EnqueueOptions,
  GroupOptions,
  WhenFull,
} from "./enqueue-options.ts";
import type { EnqueuedFlow, FlowNode } from "./flow.ts";

export interface QueueOptions {
  /** Letters, digits, dots, hyphens, underscores; at most 100. */
  readonly name: string;
  readonly store: QueueStore;
  /** Most live tasks. @defaultValue 100_000 */
  readonly limit?: number;
  /** What becomes of tasks beyond the limit, unless a call says otherwise. @defaultValue "reject" */
  readonly whenFull?: WhenFull;
  /** How long a caller waits for room, unless it says otherwise. @defaultValue "30s" */
  readonly maxWait?: Duration;
  /** Callers of this process that wait for room; the next is refused with a {@link TooManyWaitingError}. @defaultValue 1_000 */
  readonly maxWaiting?: number;
  /** Largest input, result and checkpoint as it is stored, in bytes: after the codecs. @defaultValue 1_048_576 (1 MiB) */
  readonly maxPayloadBytes?: number;
  /**
   * What payloads go through on their way into the store, in this order, and back. All processes of a queue need the
   * same. See `@holdfast/queue/codec`. @defaultValue none
   */
  readonly codecs?: readonly PayloadCodec[];
  /** Tries of tasks whose definition says nothing of them. From 1 to 1,000. @defaultValue 3 */
  readonly attempts?: number;
  /** Lost leases of tasks whose definition says nothing of them. From 0 to 1,000. @defaultValue 5 */
  readonly leaseLosses?: number;
  /** For tasks that say nothing of it themselves. @defaultValue never */
  readonly expiresIn?: Duration;
  /** The limits of a group whose task names it by its key alone. @defaultValue those that it has, else one at a time */
  readonly groupLimit?: (key: string) => Omit<GroupOptions, "key"> | undefined;
  /** The share of a tenant whose task says nothing of it. @defaultValue 1 */
  readonly weightOf?: (tenant: string) => number | undefined;
  /** Carries traces from enqueue to handler: `taskTracing()` of `@holdfast/queue/otel`. @defaultValue none */
  readonly tracing?: TaskTracing;
  /** What a refused caller is told to wait. @defaultValue "1s" */
  readonly retryAfter?: Duration;
  /** @defaultValue uuidV7() */
  readonly taskId?: TaskIdMaker;
  /** For IDs, and for the workers of this queue. @defaultValue systemClock */
  readonly clock?: Clock;
  /** @defaultValue systemRandom */
  readonly random?: Random;
}

/** IDs of tasks, one by one or as an array: a call takes no more than some ten thousand arguments. */
export type TaskIds = readonly string[] | readonly [ids: readonly string[]];

/** What waits take. */
export interface WaitOptions {
  readonly signal?: AbortSignal | undefined;
}

export interface DrainOptions {
  /**
   * What must be over. `"stopped"`: nothing runs, for a queue that was paused. `"idle"`: nothing runs or is ready, though
   * tasks may wait for a time, a retry, an event or children. `"empty"`: there is no live task. @defaultValue "idle"
   */
  readonly until?: "stopped" | "idle" | "empty";
  /** How long to wait. @defaultValue "30s" */
  readonly within?: Duration;
  readonly signal?: AbortSignal | undefined;
}

/** How a queue stood when it was last looked at. */
export interface DrainReport {
  /** `false`: the time was up before. */
  readonly drained: boolean;
  readonly stats: QueueStats;
}

/** Adds tasks and follows them. Makes no connection and holds no timer of its own. */
export interface Queue extends AsyncDisposable {
  readonly name: string;
  readonly store: QueueStore;
  readonly maxPayloadBytes: number;
  readonly clock: Clock;
  /** How its payloads are written and read; workers ask it. */
  readonly payloads: PayloadFormat;
  readonly tracing: TaskTracing | undefined;

  /**
   * Adds a task; resolves with its ID once the store has it.
   *
   * @throws InvalidPayloadError, PayloadTooLargeError, UnserializableError, QueueFullError, TooManyWaitingError,
   * TaskExistsError
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
    options?: EnqueueCallOptions,
  ): Promise<readonly Enqueued[]>;

  /**
   * Adds a tree of at most 1,000 tasks in one step: each begins when all its children have ended, however they ended.
   * One whose ID is taken does not keep the others out.
   *
   * @throws as {@link enqueue} does.
   */
  enqueueFlow(root: FlowNode, options?: EnqueueCallOptions): Promise<EnqueuedFlow>;

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

  /**
   * The input of a task that lives or has failed, as a worker's handler would be given it: through the codecs, brought to
   * the version of `task`, and checked by its schema. `undefined` once the task has completed or was cancelled, which
   * lets go of its input. As it is stored, it is `queue.store.input(queue.name, id)`.
   *
   * @throws TaskNotFoundError, WrongTaskError for a task of another name, PayloadVersionError, InvalidPayloadError, what
   * the codecs and the upcasters throw.
   */
  input<Parsed>(
    task: TaskDefinition<never, Parsed, never, unknown>,
    id: string,
    options?: WaitOptions,
  ): Promise<{ readonly value: Parsed } | undefined>;

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

  /**
   * Tells a task of an event: `step.waitFor(event)` of its handler answers `value`, whether it waits already or comes to
   * that later. An event happens once for a task: `"duplicate"` says that it had happened, and that the first value
   * stays. `"ended"`: the task had ended.
   *
   * @param event - 1 to 100 letters, digits, dots, hyphens and underscores.
   * @param value - `null` if there is nothing to say.
   * @throws TaskNotFoundError, PayloadTooLargeError, UnserializableError, InvalidOptionError
   */
  signal(id: string, event: string, value?: unknown): Promise<Exclude<SignalOutcome, "unknown">>;

  /** Lets nothing be claimed any more, by any worker, until {@link resume}. What runs goes on. */
  pause(): Promise<void>;
  resume(): Promise<void>;

  /**
   * Waits until nothing runs or is ready, for `within` (default 30 s) at most, and answers how the queue stands. It stops
   * nobody: {@link pause} the queue, or stop adding, as you mean it.
   *
   * @throws InvalidOptionError, the signal's reason, or the store's error.
   */
  drain(options?: DrainOptions): Promise<DrainReport>;

  stats(): Promise<QueueStats>;
  /** What has happened in the queue since its first task, and what is next. */
  meter(): Promise<QueueMeter>;
  /** Up to `max` tasks (default 100, at most 1,000) in a state: roughly those that change next, or that ended last. */
  list(state: TaskState, max?: number): Promise<readonly TaskStatus[]>;

  /** All schedules, the one that is next first. See `@holdfast/queue/cron`. */
  schedules(): Promise<readonly Schedule[]>;
  /** Takes a schedule away, from all schedulers. Whether there was one. */
  unschedule(key: string): Promise<boolean>;
  /**
   * Adds a task and moves its schedule on to `nextAt`, in one step, if that is still as it is said to be. What
   * schedulers are made of.
   *
   * @throws as {@link enqueue} does, but a full queue is an answer.
   */
  fire<Input>(
    task: EnqueuedTask<Input>,
    item: EnqueueItem<Input>,
    schedule: Schedule,
    nextAt: number,
  ): Promise<FireOutcome>;

  /** Failed tasks, the oldest failure first: at most `max` (default 100), behind the one with the ID `after`. */
  deadLetters(page?: { readonly max?: number; readonly after?: string }): Promise<readonly TaskStatus[]>;
  /** Makes failed tasks ready again, with all their tries, 1,000 in one step. Answers how many. Give many as one array. */
  redrive(...ids: TaskIds): Promise<number>;
  /** Forgets ended tasks, 1,000 in one step. Answers how many. Give many as one array. */
  discard(...ids: TaskIds): Promise<number>;

  /** Adds no more. The store stays open: it belongs to whoever made it. */
  close(): Promise<void>;
}

/** The defaults of `queue`. */
export const QUEUE_DEFAULTS: {
  readonly limit: number;
  readonly maxPayloadBytes: number;
  readonly retryAfterMs: number;
  readonly maxWaitMs: number;
  readonly maxWaiting: number;
} = { limit: 100_000, maxPayloadBytes: 1_048_576, retryAfterMs: 1_000, maxWaitMs: 30_000, maxWaiting: 1_000 };
