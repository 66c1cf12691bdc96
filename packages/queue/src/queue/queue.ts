// A queue over a store: tasks in, an ID at once, and everything one may ask about them.
import type { Clock } from "@holdfast/core";
import { optionsOf, systemClock } from "@holdfast/core";
import { TaskCancelledError, TaskFailedError, TaskNotFoundError, WrongTaskError } from "../errors.ts";
import { eventCheckpoint } from "../steps/step-names.ts";
import { inPages } from "../store/in-pages.ts";
import type {
  FireOutcome,
  QueueMeter,
  QueueStats,
  QueueStore,
  Schedule,
  SignalOutcome,
} from "../store/store.ts";
import type { PayloadFormat } from "../task/payload-format.ts";
import { payloadFormat } from "../task/payload-format.ts";
import { inputOf } from "../task/task-payload.ts";
import type { TaskEvent, TaskState, TaskStatus } from "../task/task-status.ts";
import type { TaskTracing } from "../task/task-tracing.ts";
import type { TaskDefinition } from "../task/task.ts";
import { drained } from "./drain.ts";
import type {
  Enqueued,
  EnqueueCallOptions,
  EnqueuedTask,
  EnqueueItem,
  EnqueueOptions,
} from "./enqueue-options.ts";
import type { EnqueuedFlow, FlowNode } from "./flow.ts";
import { ended, eventsOf } from "./following.ts";
import { Producer } from "./producer.ts";
import type {
  DrainOptions,
  DrainReport,
  Queue,
  QueueOptions,
  TaskIds,
  WaitOptions,
} from "./queue-contract.ts";
import { QUEUE_DEFAULTS } from "./queue-contract.ts";
import { taskId, taskIds } from "./task-ids.ts";

const MAX_BATCH = 10_000;
const MAX_REASON = 500;
/** IDs that a store is given in one call. */
const PAGE = 1_000;
const STATES: readonly TaskState[] = [
  "scheduled",
  "waiting",
  "ready",
  "running",
  "completed",
  "failed",
  "cancelled",
];

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
  readonly payloads: PayloadFormat;
  readonly tracing: TaskTracing | undefined;
  readonly #producer: Producer;

  constructor(options: QueueOptions) {
    const check = optionsOf("queue");
    const { maxPayloadBytes } = QUEUE_DEFAULTS;
    this.name = check.string("name", options.name, 100);
    if (!/^[\w.-]+$/.test(this.name))
      check.refuse("name", this.name, "letters, digits, dots, hyphens and underscores");
    this.store = check.object("store", options.store);
    if (typeof this.store.enqueue !== "function")
      check.refuse("store", this.store, "a store of tasks, such as memoryStore()");
    this.clock = options.clock ?? systemClock;
    const bytes = options.maxPayloadBytes;
    this.maxPayloadBytes = check.integer("maxPayloadBytes", bytes, { min: 1 }, maxPayloadBytes);
    this.payloads = payloadFormat(this.name, this.maxPayloadBytes, options.codecs);
    this.tracing = options.tracing === undefined ? undefined : check.object("tracing", options.tracing);
    this.#producer = new Producer(check, options, this);
  }

  async enqueue<Input>(
    task: EnqueuedTask<Input>,
    input: Input,
    options: EnqueueOptions = {},
  ): Promise<Enqueued> {
    const [enqueued] = await this.#producer.enqueue(task, [{ ...options, input }], options);
    return enqueued!;
  }

  async enqueueMany<Input>(
    task: EnqueuedTask<Input>,
    items: readonly EnqueueItem<Input>[],
    options: EnqueueCallOptions = {},
  ): Promise<readonly Enqueued[]> {
    if (items.length > MAX_BATCH)
      optionsOf("enqueueMany").refuse("items", items, `an array of at most ${MAX_BATCH}`);
    return this.#producer.enqueue(task, items, options);
  }

  async enqueueFlow(root: FlowNode, options: EnqueueCallOptions = {}): Promise<EnqueuedFlow> {
    return this.#producer.enqueueFlow(root, options);
  }

  async status(id: string): Promise<TaskStatus> {
    const [status] = await this.store.get(this.name, [taskId("status", id)]);
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
    const status = await ended(this, taskId("wait", id), signal);
    if (status.state === "cancelled") throw new TaskCancelledError(id, status.reason);
    if (status.state === "failed") throw new TaskFailedError(id, status.error.code, status.error.message);
    const result = await this.result(id);
    return task.parseOutput(result?.value as never);
  }

  async input<Parsed>(
    task: TaskDefinition<never, Parsed, never, unknown>,
    id: string,
    { signal }: WaitOptions = {},
  ): Promise<{ readonly value: Parsed } | undefined> {
    signal?.throwIfAborted();
    const stored = await this.store.input(this.name, taskId("input", id));
    if (stored === undefined) {
      // It has ended, or there is no task.
      await this.status(id);
      return undefined;
    }
    if (stored.name !== task.name) throw new WrongTaskError(id, stored.name, task.name);
    return { value: (await inputOf({ id, ...stored }, task, this.payloads, signal)) as Parsed };
  }

  async result(id: string): Promise<{ readonly value: unknown } | undefined> {
    const stored = await this.store.result(this.name, taskId("result", id));
    if (stored !== undefined)
      return { value: await this.payloads.read(stored, { id, part: "result", name: "" }) };
    // No result, or no task.
    await this.status(id);
    return undefined;
  }

  async *events(
    id: string,
    options: { readonly after?: number | undefined; readonly signal?: AbortSignal | undefined } = {},
  ): AsyncGenerator<TaskEvent, void, undefined> {
    const signal = options.signal ?? new AbortController().signal;
    const after = optionsOf("events").integer("after", options.after, { min: 0 }, 0);
    yield* eventsOf(this, taskId("events", id), after, signal);
  }

  async cancel(id: string, reason: string = "cancelled by its owner"): Promise<boolean> {
    const why = optionsOf("cancel").string("reason", reason, MAX_REASON);
    const [outcome] = await this.store.cancel(this.name, [taskId("cancel", id)], why);
    if (outcome === "unknown") throw new TaskNotFoundError(id);
    return outcome === "cancelled";
  }

  async signal(id: string, event: string, value: unknown = null): Promise<Exclude<SignalOutcome, "unknown">> {
    const name = eventCheckpoint(event);
    taskId("signal", id);
    const payload = await this.payloads.write(value, { id, part: "checkpoint", name });
    const outcome = await this.store.signal(this.name, id, { name, value: payload });
    if (outcome === "unknown") throw new TaskNotFoundError(id);
    return outcome;
  }

  pause(): Promise<void> {
    return this.store.pause(this.name, true);
  }

  resume(): Promise<void> {
    return this.store.pause(this.name, false);
  }

  drain(options: DrainOptions = {}): Promise<DrainReport> {
    return drained(this, options);
  }

  stats(): Promise<QueueStats> {
    return this.store.stats(this.name);
  }

  meter(): Promise<QueueMeter> {
    return this.store.meter(this.name);
  }

  async list(state: TaskState, max?: number): Promise<readonly TaskStatus[]> {
    const check = optionsOf("list");
    const known = check.oneOf("state", state, STATES);
    return this.store.list(this.name, known, check.integer("max", max, { min: 1, max: 1_000 }, 100));
  }

  schedules(): Promise<readonly Schedule[]> {
    return this.store.schedules(this.name);
  }

  async unschedule(key: string): Promise<boolean> {
    return this.store.removeSchedule(this.name, optionsOf("unschedule").string("key", key));
  }

  async fire<Input>(
    task: EnqueuedTask<Input>,
    item: EnqueueItem<Input>,
    schedule: Schedule,
    nextAt: number,
  ): Promise<FireOutcome> {
    return this.#producer.fire(task, item, schedule, nextAt);
  }

  async deadLetters(
    page: { readonly max?: number; readonly after?: string } = {},
  ): Promise<readonly TaskStatus[]> {
    const check = optionsOf("deadLetters");
    const max = check.integer("max", page.max, { min: 1, max: MAX_BATCH }, 100);
    const behind = page.after === undefined ? {} : { after: check.string("after", page.after) };
    return this.store.deadLetters(this.name, { max, ...behind });
  }

  async redrive(...ids: TaskIds): Promise<number> {
    const { store, name } = this;
    const outcomes = await inPages(taskIds("redrive", ids), PAGE, (page) => store.redrive(name, page));
    return outcomes.filter((outcome) => outcome === "redriven").length;
  }

  async discard(...ids: TaskIds): Promise<number> {
    const { store, name } = this;
    const outcomes = await inPages(taskIds("discard", ids), PAGE, (page) => store.discard(name, page));
    return outcomes.filter(Boolean).length;
  }

  async close(): Promise<void> {
    this.#producer.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
