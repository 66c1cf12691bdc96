// A queue over a store: tasks in, an ID at once, and everything one may ask about them.
import type { Clock } from "@holdfast/core";
import { ClosedError, optionsOf, systemClock } from "@holdfast/core";
import type { Enqueued, EnqueuedTask, EnqueueItem, EnqueueOptions } from "./enqueue-options.ts";
import { QueueFullError, TaskCancelledError, TaskFailedError, TaskNotFoundError } from "./errors.ts";
import { ended, eventsOf } from "./following.ts";
import type { NewTaskSettings } from "./new-task.ts";
import { enqueuedOf, newTask } from "./new-task.ts";
import { decodePayload } from "./payload.ts";
import type { Queue, QueueOptions, WaitOptions } from "./queue-contract.ts";
import { QUEUE_DEFAULTS } from "./queue-contract.ts";
import type { QueueStats, QueueStore } from "./store.ts";
import type { TaskDefinition } from "./task.ts";
import { uuidV7 } from "./task-id.ts";
import type { TaskEvent, TaskStatus } from "./task-status.ts";

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
  readonly #settings: NewTaskSettings;
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
    this.#settings = {
      taskId: check.function("taskId", options.taskId) ?? uuidV7(),
      now: () => this.clock.now(),
      maxPayloadBytes: this.maxPayloadBytes,
    };
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
    const status = await ended(this, id, signal);
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
    yield* eventsOf(this, id, optionsOf("events").integer("after", options.after, { min: 0 }, 0), signal);
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
    const tasks = items.map((item) => newTask(task, item, this.#settings));
    // As the handler will get it, so that what JSON does not carry is found out here.
    if (task.checksInput) for (const { input } of tasks) await task.parseInput(decodePayload(input) as Input);
    signal?.throwIfAborted();
    const result = await this.store.enqueue(this.name, tasks, { limit: this.#limit });
    if (result.full) throw new QueueFullError(this.name, result.live, this.#retryAfterMs);
    return result.outcomes.map(enqueuedOf);
  }
}
