// The queue as its users see it: tasks in, an ID at once, and everything one may ask about them.
import type { Clock, Duration } from "@holdfast/core";
import { ClosedError, optionsOf, systemClock } from "@holdfast/core";
import {
  QueueFullError,
  TaskCancelledError,
  TaskExistsError,
  TaskFailedError,
  TaskNotFoundError,
} from "./errors.ts";
import { decodePayload, encodePayload } from "./payload.ts";
import type { EnqueueOutcome, NewTask, QueueStats, QueueStore } from "./store.ts";
import type { TaskDefinition } from "./task.ts";
import type { TaskIdMaker } from "./task-id.ts";
import { uuidV7 } from "./task-id.ts";
import type { TaskEvent, TaskStatus } from "./task-status.ts";
import { hasEnded } from "./task-status.ts";

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

/** What waits take. */
export interface WaitOptions {
  readonly signal?: AbortSignal | undefined;
}

/** A task that is enqueued through a {@link Queue}: what goes in is known, what comes out does not matter. */
export type EnqueuedTask<Input> = TaskDefinition<Input, unknown, never, unknown>;

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

/** Events fetched at a time. */
const EVENT_PAGE = 100;
const MAX_BATCH = 10_000;
const MAX_REASON = 500;

/**
 * A queue of tasks.
 *
 * @throws InvalidOptionError when an option is out of range.
 *
 * @example
 * ```ts
 * import { defineTask, handle, memoryStore, queue, worker } from "@holdfast/queue";
 *
 * const double = defineTask<number, number, number>({ name: "double" });
 * const numbers = queue({ name: "numbers", store: memoryStore() });
 * const { id } = await numbers.enqueue(double, 21);
 * const working = worker(numbers, [handle(double, ({ input }) => input * 2)]);
 * await numbers.wait(double, id); // => 42
 * await working.close();
 * ```
 */
export function queue(options: QueueOptions): Queue {
  return new StoredQueue(options);
}

class StoredQueue implements Queue {
  readonly name: string;
  readonly store: QueueStore;
  readonly maxPayloadBytes: number;
  readonly clock: Clock;
  readonly #limit: number;
  readonly #retryAfterMs: number;
  readonly #taskId: TaskIdMaker;
  #closed = false;

  constructor(options: QueueOptions) {
    const check = optionsOf("queue");
    const { limit, maxPayloadBytes, retryAfterMs } = QUEUE_DEFAULTS;
    this.name = check.string("name", options.name, 100);
    if (!/^[\w.-]+$/.test(this.name))
      check.refuse("name", this.name, "letters, digits, dots, hyphens and underscores");
    this.store = check.object("store", options.store);
    this.clock = options.clock ?? systemClock;
    const bytes = options.maxPayloadBytes;
    this.maxPayloadBytes = check.integer("maxPayloadBytes", bytes, { min: 1 }, maxPayloadBytes);
    this.#limit = check.integer("limit", options.limit, { min: 1 }, limit);
    this.#retryAfterMs = check.duration("retryAfter", options.retryAfter, {}, retryAfterMs);
    this.#taskId = check.function("taskId", options.taskId) ?? uuidV7();
  }

  async enqueue<Input>(
    task: EnqueuedTask<Input>,
    input: Input,
    options: EnqueueOptions = {},
  ): Promise<Enqueued> {
    const { signal, ...rest } = options;
    const [enqueued] = await this.#enqueueAll(task, [{ ...rest, input }], signal);
    return enqueued!;
  }

  async enqueueMany<Input>(
    task: EnqueuedTask<Input>,
    items: readonly EnqueueItem<Input>[],
    { signal }: WaitOptions = {},
  ): Promise<readonly Enqueued[]> {
    if (items.length > MAX_BATCH)
      optionsOf("enqueueMany").refuse("items", items, `an array of at most ${MAX_BATCH}`);
    return this.#enqueueAll(task, items, signal);
  }

  async status(id: string): Promise<TaskStatus> {
    const [status] = await this.store.get(this.name, [id]);
    if (status === undefined) throw new TaskNotFoundError(id);
    return status;
  }

  async wait<Output>(
    task: TaskDefinition<never, unknown, never, Output>,
    id: string,
    options: WaitOptions = {},
  ): Promise<Output> {
    const signal = options.signal ?? new AbortController().signal;
    signal.throwIfAborted();
    let status = await this.status(id);
    while (!hasEnded(status)) {
      await this.store.waitForEvents(this.name, id, status.lastSeq, signal);
      status = await this.status(id);
    }
    if (status.state === "cancelled") throw new TaskCancelledError(id, status.reason);
    if (status.state === "failed") throw new TaskFailedError(id, status.error.code, status.error.message);
    const result = await this.result(id);
    return task.parseOutput(result?.value as never);
  }

  async result(id: string): Promise<{ readonly value: unknown } | undefined> {
    const stored = await this.store.result(this.name, id);
    if (stored !== undefined) return { value: decodePayload(stored) };
    // No result, or no task.
    await this.status(id);
    return undefined;
  }

  async *events(
    id: string,
    options: { readonly after?: number | undefined; readonly signal?: AbortSignal | undefined } = {},
  ): AsyncGenerator<TaskEvent, void, undefined> {
    const signal = options.signal ?? new AbortController().signal;
    let after = optionsOf("events").integer("after", options.after, { min: 0 }, 0);
    for (;;) {
      signal.throwIfAborted();
      const page = await this.store.events(this.name, id, after, EVENT_PAGE);
      if (page === undefined) throw new TaskNotFoundError(id);
      for (const event of page.events) {
        after = event.seq;
        yield event;
        signal.throwIfAborted();
      }
      if (page.ended) return;
      if (page.events.length === 0) await this.store.waitForEvents(this.name, id, after, signal);
    }
  }

  async cancel(id: string, reason: string = "cancelled by its owner"): Promise<boolean> {
    const why = optionsOf("cancel").string("reason", reason, MAX_REASON);
    const [outcome] = await this.store.cancel(this.name, [id], why);
    if (outcome === "unknown") throw new TaskNotFoundError(id);
    return outcome === "cancelled";
  }

  stats(): Promise<QueueStats> {
    return this.store.stats(this.name);
  }

  async deadLetters(
    page: { readonly max?: number; readonly after?: string } = {},
  ): Promise<readonly TaskStatus[]> {
    const check = optionsOf("deadLetters");
    const max = check.integer("max", page.max, { min: 1, max: MAX_BATCH }, 100);
    const behind = page.after === undefined ? {} : { after: check.string("after", page.after) };
    return this.store.deadLetters(this.name, { max, ...behind });
  }

  async redrive(...ids: readonly string[]): Promise<number> {
    const outcomes = await this.store.redrive(this.name, ids);
    return outcomes.filter((outcome) => outcome === "redriven").length;
  }

  async discard(...ids: readonly string[]): Promise<number> {
    const outcomes = await this.store.discard(this.name, ids);
    return outcomes.filter((isGone) => isGone).length;
  }

  async close(): Promise<void> {
    this.#closed = true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #enqueueAll<Input>(
    task: EnqueuedTask<Input>,
    items: readonly EnqueueItem<Input>[],
    signal: AbortSignal | undefined,
  ): Promise<readonly Enqueued[]> {
    signal?.throwIfAborted();
    if (this.#closed) throw new ClosedError(`queue "${this.name}"`);
    const tasks = items.map((item) => this.#newTask(task, item));
    // As the handler will get it, so that what JSON does not carry is found out here.
    if (task.checksInput) for (const { input } of tasks) await task.parseInput(decodePayload(input) as Input);
    signal?.throwIfAborted();
    const result = await this.store.enqueue(this.name, tasks, { limit: this.#limit });
    if (result.full) throw new QueueFullError(this.name, result.live, this.#retryAfterMs);
    return result.outcomes.map(enqueuedOf);
  }

  #newTask<Input>(task: EnqueuedTask<Input>, item: EnqueueItem<Input>): NewTask {
    const check = optionsOf("enqueue");
    const { id, dedupKey, group } = item;
    return {
      id: id === undefined ? this.#taskId(this.clock.now()) : checkId(id),
      name: task.name,
      input: encodePayload(item.input, this.maxPayloadBytes),
      delayMs: item.delay === undefined ? 0 : check.duration("delay", item.delay),
      priority:
        item.priority === undefined
          ? 0
          : check.integer("priority", item.priority, { min: -1_000, max: 1_000 }),
      maxAttempts: task.attempts,
      maxLeaseLosses: task.leaseLosses,
      keepMs: task.keepMs,
      keepFailedMs: task.keepFailedMs,
      ...(dedupKey === undefined ? {} : { dedupKey: check.string("dedupKey", dedupKey) }),
      ...(group === undefined ? {} : { group: check.string("group", group) }),
    };
  }
}

function checkId(id: string): string {
  const check = optionsOf("enqueue");
  const text = check.string("id", id, 100);
  if (/^[\w.:-]+$/.test(text)) return text;
  return check.refuse("id", id, "letters, digits, dots, colons, hyphens and underscores");
}

function enqueuedOf({ outcome, id }: EnqueueOutcome): Enqueued {
  if (outcome === "exists") throw new TaskExistsError(id);
  return { id, duplicate: outcome === "duplicate" };
}
