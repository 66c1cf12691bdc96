// A handler whose tasks run on threads, so that work for the CPU does not hold up leases.
import { availableParallelism } from "node:os";
import type { ResourceLimits } from "node:worker_threads";
import type { Clock, Duration } from "@holdfast/core";
import { ClosedError, optionsOf, systemClock } from "@holdfast/core";
import type { TaskDefinition } from "../task/task.ts";
import type { TaskContext, TaskHandler } from "../worker/handler.ts";
import type { ThreadSettings } from "./task-thread.ts";
import { TaskThread } from "./task-thread.ts";

export interface ThreadHandlerOptions {
  /** Most threads, started when they are needed. From 1 to 256. @defaultValue the CPUs of this machine */
  readonly threads?: number;
  /** How long a task that was told to stop may take before its thread is ended. @defaultValue "1s" */
  readonly stopWithin?: Duration;
  /** Memory limits of each thread; one that passes them dies alone. @defaultValue Node's own */
  readonly resourceLimits?: ResourceLimits;
  /** @defaultValue systemClock */
  readonly clock?: Clock;
}

/** A handler with threads of its own. */
export interface ThreadTaskHandler extends TaskHandler, AsyncDisposable {
  /** Threads that are there. */
  readonly threads: number;
  /** Ends its threads, whatever they do. Close the worker first. */
  close(): Promise<void>;
}

/**
 * Says that tasks of a kind are run on threads, by a module that calls `threadWork`. Progress and logs are passed on; a
 * task that is told to stop and does not is ended with its thread, and so is its try when the thread crashes. Steps are
 * not to be had there.
 *
 * @throws InvalidOptionError when an option is out of range.
 *
 * @example
 * ```ts no-run: needs a module for the thread
 * import { defineTask, memoryStore, queue, worker } from "@holdfast/queue";
 * import { threadHandler } from "@holdfast/queue/threads";
 *
 * const blur = defineTask<{ radius: number }, { radius: number }, number>({ name: "blur" });
 * const images = queue({ name: "images", store: memoryStore() });
 * await using blurring = threadHandler(blur, new URL("./blur.js", import.meta.url), { threads: 4 });
 * await using _ = worker(images, [blurring], { concurrency: 4 });
 * ```
 */
export function threadHandler<Input, Parsed, Result, Output>(
  task: TaskDefinition<Input, Parsed, Result, Output>,
  module: URL,
  options: ThreadHandlerOptions = {},
): ThreadTaskHandler {
  const check = optionsOf("threadHandler");
  if (!(module instanceof URL))
    check.refuse("module", module, "a URL, such as new URL(file, import.meta.url)");
  const most = check.integer("threads", options.threads, { min: 1, max: 256 }, availableParallelism());
  const settings = {
    task: task.name,
    module,
    resourceLimits: options.resourceLimits,
    clock: options.clock ?? systemClock,
    stopMs: check.duration("stopWithin", options.stopWithin, {}, 1_000),
  };
  return new ThreadPool(task as unknown as TaskHandler["task"], settings, most);
}

class ThreadPool implements ThreadTaskHandler {
  readonly #all = new Set<TaskThread>();
  readonly #idle: TaskThread[] = [];
  /** Tasks that wait for a thread: no more than their worker runs at a time. */
  readonly #line: (() => void)[] = [];
  #isClosed = false;

  constructor(
    readonly task: TaskHandler["task"],
    private readonly settings: ThreadSettings,
    private readonly most: number,
  ) {}

  get threads(): number {
    return this.#all.size;
  }

  run = async (context: TaskContext<never>): Promise<unknown> => {
    const thread = await this.#take(context.signal);
    try {
      return await thread.run(context);
    } finally {
      this.#give(thread);
    }
  };

  async close(): Promise<void> {
    this.#isClosed = true;
    for (const next of this.#line.splice(0)) next();
    await Promise.all([...this.#all].map((thread) => thread.end()));
    this.#all.clear();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #take(signal: AbortSignal): Promise<TaskThread> {
    for (;;) {
      signal.throwIfAborted();
      if (this.#isClosed) throw new ClosedError(`the threads of task "${this.task.name}"`);
      const idle = this.#idle.pop();
      // One that ended while it waited is none.
      if (idle?.isGone === true) this.#all.delete(idle);
      else if (idle !== undefined) return idle;
      else if (this.#all.size < this.most) return this.#start();
      else await this.#turn(signal);
    }
  }

  #start(): TaskThread {
    const thread = new TaskThread(this.settings);
    this.#all.add(thread);
    return thread;
  }

  #give(thread: TaskThread): void {
    if (thread.isGone) this.#all.delete(thread);
    else this.#idle.push(thread);
    this.#line.shift()?.();
  }

  /** Resolves when there may be a thread, or the signal aborts. */
  #turn(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const next = (): void => {
        signal.removeEventListener("abort", onAbort);
        resolve();
      };
      const onAbort = (): void => {
        const at = this.#line.indexOf(next);
        if (at !== -1) this.#line.splice(at, 1);
        resolve();
      };
      this.#line.push(next);
      signal.addEventListener("abort", onAbort, { once: true });
    });
  }
}
