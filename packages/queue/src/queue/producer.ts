// How tasks get into a queue: as they are stored, with the trace of whoever adds them, once there is room.
import type { OptionReader } from "@holdfast/core";
import { ClosedError, optionsOf, systemRandom, toMs } from "@holdfast/core";
import { QueueFullError } from "../errors.ts";
import type { EnqueueOutcome, EnqueueResult, FireOutcome, NewTask, Schedule } from "../store/store.ts";
import type { TraceCarrier } from "../task/task-meta.ts";
import { writeMeta } from "../task/task-meta.ts";
import type { Enqueued, EnqueueCallOptions, EnqueuedTask, EnqueueItem } from "./enqueue-options.ts";
import type { EnqueuedFlow, FlowNode } from "./flow.ts";
import { flattened, treeOf } from "./flow.ts";
import type { NewTaskSettings } from "./new-task.ts";
import { enqueuedOf, newTask, readyTask } from "./new-task.ts";
import { newTaskSettings } from "./new-task-settings.ts";
import type { Queue, QueueOptions } from "./queue-contract.ts";
import { QUEUE_DEFAULTS } from "./queue-contract.ts";
import { RoomLine } from "./room-line.ts";
import { publishAdded } from "./tasks-added.ts";

export class Producer {
  readonly #limit: number;
  readonly #retryAfterMs: number;
  readonly #settings: NewTaskSettings;
  readonly #call: Required<Omit<EnqueueCallOptions, "signal">>;
  readonly #line: RoomLine;
  #closed = false;

  /** @throws InvalidOptionError */
  constructor(
    check: OptionReader,
    options: QueueOptions,
    private readonly queue: Pick<Queue, "name" | "store" | "clock" | "payloads" | "tracing" | "stats">,
  ) {
    const { name, clock } = queue;
    const { limit, retryAfterMs, maxWaitMs, maxWaiting } = QUEUE_DEFAULTS;
    this.#limit = check.integer("limit", options.limit, { min: 1 }, limit);
    this.#retryAfterMs = check.duration("retryAfter", options.retryAfter, {}, retryAfterMs);
    this.#settings = newTaskSettings(check, options, queue);
    this.#call = {
      whenFull: check.oneOf("whenFull", options.whenFull, ["reject", "wait"], "reject"),
      maxWait: check.duration("maxWait", options.maxWait, {}, maxWaitMs),
    };
    this.#line = new RoomLine({
      queue: name,
      clock,
      random: check.function("random", options.random) ?? systemRandom,
      maxWaiting: check.integer("maxWaiting", options.maxWaiting, { min: 1 }, maxWaiting),
      retryAfterMs: this.#retryAfterMs,
      limit: this.#limit,
      live: async () => {
        const { scheduled, waiting, ready, running } = await queue.stats();
        return scheduled + waiting + ready + running;
      },
    });
  }

  async enqueue<Input>(
    task: EnqueuedTask<Input>,
    items: readonly EnqueueItem<Input>[],
    options: EnqueueCallOptions,
  ): Promise<readonly Enqueued[]> {
    const made = await this.#ready(task, items, options.signal);
    const place = (tasks: readonly NewTask[]): Promise<EnqueueResult> => this.#place(tasks, options);
    return this.#added(made, await this.#send(task.name, made, () => task.version, place)).map(enqueuedOf);
  }

  async enqueueFlow(root: FlowNode, options: EnqueueCallOptions): Promise<EnqueuedFlow> {
    const flat = flattened(root, () => this.#settings.taskId(this.#settings.now()));
    const made: NewTask[] = [];
    for (const { node, item } of flat) {
      const [one] = await this.#ready(node.task, [item as EnqueueItem<never>], options.signal);
      made.push(node.children.length > 0 ? { ...one!, waitsForChildren: true } : one!);
    }
    const versionOf = (at: number): number => flat[at]!.node.task.version;
    const place = (tasks: readonly NewTask[]): Promise<EnqueueResult> => this.#place(tasks, options);
    this.#added(made, await this.#send(root.task.name, made, versionOf, place)).forEach(enqueuedOf);
    return treeOf(flat);
  }

  async fire<Input>(
    task: EnqueuedTask<Input>,
    item: EnqueueItem<Input>,
    schedule: Schedule,
    nextAt: number,
  ): Promise<FireOutcome> {
    const { name, store } = this.queue;
    const made = await this.#ready(task, [item], undefined);
    return this.#send(
      task.name,
      made,
      () => task.version,
      async (tasks) => {
        const outcome = await store.fire(name, schedule, nextAt, tasks[0]!, { limit: this.#limit });
        if (outcome === "fired") publishAdded(name, tasks, [{ outcome: "enqueued" }]);
        return outcome;
      },
    );
  }

  /** Adds nothing more. Whoever waits for room is told. */
  close(): void {
    this.#closed = true;
    this.#line.close();
  }

  /** Tasks as they are stored; nothing has been sent. A promise of them only where something has to be waited for. */
  #ready<Input>(
    task: EnqueuedTask<Input>,
    items: readonly EnqueueItem<Input>[],
    signal: AbortSignal | undefined,
  ): readonly NewTask[] | Promise<readonly NewTask[]> {
    signal?.throwIfAborted();
    this.#refuseIfClosed();
    if (typeof task?.parseInput !== "function")
      optionsOf("enqueue").refuse("task", task, "a task made by defineTask()");
    const made = items.map((item) => newTask(task, item, this.#settings));
    return !task.checksInput && this.queue.payloads.plain ? made : this.#prepared(task, made, signal);
  }

  async #prepared<Input>(
    task: EnqueuedTask<Input>,
    made: readonly NewTask[],
    signal: AbortSignal | undefined,
  ): Promise<readonly NewTask[]> {
    const ready = [];
    for (const one of made) ready.push(await readyTask(task, one, this.#settings, signal));
    signal?.throwIfAborted();
    return ready;
  }

  /** Sends tasks with the trace of whoever adds them. */
  #send<T>(
    task: string,
    made: readonly NewTask[],
    versionOf: (at: number) => number,
    send: (tasks: readonly NewTask[]) => Promise<T>,
  ): Promise<T> {
    const { name, tracing } = this.queue;
    if (tracing === undefined) return send(made);
    const withTrace = (trace: TraceCarrier | undefined): readonly NewTask[] =>
      made.map((one, at) => {
        const meta = writeMeta(versionOf(at), trace);
        return meta === undefined ? one : { ...one, meta };
      });
    const only = made.length === 1 ? { id: made[0]!.id } : {};
    const about = { queue: name, task, count: made.length, ...only };
    return tracing.sending(about, (trace) => send(withTrace(trace)));
  }

  #place(tasks: readonly NewTask[], options: EnqueueCallOptions): Promise<EnqueueResult> {
    const { name, store } = this.queue;
    const add = (): Promise<EnqueueResult> => store.enqueue(name, tasks, { limit: this.#limit });
    if (options.whenFull === undefined && this.#call.whenFull === "reject") return add();
    return this.#waitForRoom(tasks, add, options);
  }

  async #waitForRoom(
    tasks: readonly NewTask[],
    add: () => Promise<EnqueueResult>,
    options: EnqueueCallOptions,
  ): Promise<EnqueueResult> {
    const { signal } = options;
    const check = optionsOf("enqueue");
    const whenFull = check.oneOf("whenFull", options.whenFull, ["reject", "wait"], this.#call.whenFull);
    const maxWaitMs = check.duration("maxWait", options.maxWait, {}, toMs(this.#call.maxWait));
    if (whenFull === "reject") return add();
    // Behind those who wait already.
    const result = this.#line.length === 0 ? await add() : undefined;
    if (result !== undefined && (!result.full || tasks.length > this.#limit)) return result;
    signal?.throwIfAborted();
    this.#refuseIfClosed();
    return this.#line.join({ needs: tasks.length, add, maxWaitMs, signal });
  }

  /** @throws QueueFullError */
  #added(tasks: readonly NewTask[], result: EnqueueResult): readonly EnqueueOutcome[] {
    const { name } = this.queue;
    if (result.full) throw new QueueFullError(name, result.live, this.#retryAfterMs);
    publishAdded(name, tasks, result.outcomes);
    return result.outcomes;
  }

  #refuseIfClosed(): void {
    if (this.#closed) throw new ClosedError(`queue "${this.queue.name}"`);
  }
}
