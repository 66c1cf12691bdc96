// One thread, as its worker sees it: a task at a time, ended when it does not listen.
import type { ResourceLimits } from "node:worker_threads";
import { Worker as Thread } from "node:worker_threads";
import type { Clock, Timer } from "@holdfast/core";
import { asError } from "@holdfast/core";
import { PermanentError } from "../errors.ts";
import type { TaskContext } from "../worker/handler.ts";
import { ThreadCrashedError, ThreadTaskError } from "./errors.ts";
import type { FromThread, RemoteError, ToThread } from "./messages.ts";
import { remoteOf } from "./thread-work.ts";

/** What all threads of a handler share. */
export interface ThreadSettings {
  readonly task: string;
  readonly module: URL;
  readonly resourceLimits: ResourceLimits | undefined;
  readonly clock: Clock;
  /** How long a task that was told to stop may take before its thread is ended, in milliseconds. */
  readonly stopMs: number;
}

interface Running {
  readonly run: number;
  readonly context: TaskContext<unknown>;
  readonly settle: (result: unknown) => void;
  readonly fail: (error: Error) => void;
}

export class TaskThread {
  /** Runs no more. */
  isGone = false;
  readonly #thread: Thread;
  #running: Running | undefined;
  #runs = 0;
  #timer: Timer | undefined;

  constructor(private readonly settings: ThreadSettings) {
    const { module, resourceLimits, task } = settings;
    this.#thread = new Thread(module, {
      name: task,
      ...(resourceLimits === undefined ? {} : { resourceLimits }),
    });
    this.#thread.on("message", (message: FromThread) => this.#hear(message));
    this.#thread.on("messageerror", (error) => this.#die(asError(error).message, error));
    this.#thread.on("error", (error) => this.#die(asError(error).message, error));
    this.#thread.on("exit", (code) => this.#die(`it exited with code ${code}`));
    this.#thread.unref();
  }

  /** Runs a task. Rejects with what it throws, or when the thread ends. */
  async run(context: TaskContext<unknown>): Promise<unknown> {
    const { id, input, attempt, maxAttempts, fence, signal } = context;
    const run = (this.#runs += 1);
    const onAbort = (): void => this.#abort(run, signal.reason as Error);
    try {
      return await new Promise((settle, fail) => {
        this.#running = { run, context, settle, fail };
        // A task keeps its process alive, a thread that waits for one does not.
        this.#thread.ref();
        signal.addEventListener("abort", onAbort, { once: true });
        this.#post({ type: "run", run, id, input, attempt, maxAttempts, fence });
      });
    } finally {
      signal.removeEventListener("abort", onAbort);
      this.#timer?.cancel();
      this.#running = undefined;
      this.#thread.unref();
    }
  }

  async end(): Promise<void> {
    this.isGone = true;
    await this.#thread.terminate();
  }

  /** Tells the task to stop, and ends its thread if it does not. */
  #abort(run: number, reason: Error): void {
    this.#post({ type: "abort", run, reason: remoteOf(reason) });
    this.#timer = this.settings.clock.setTimer(this.settings.stopMs, () => {
      this.#running?.fail(reason);
      void this.end();
    });
  }

  #hear(message: FromThread): void {
    const running = this.#running;
    if (running === undefined || running.run !== message.run) return;
    if (message.type === "progress") void running.context.progress(message.value);
    else if (message.type === "log") void running.context.log(message.line);
    else if (message.type === "done") running.settle(message.result);
    else running.fail(thrownThere(message.error));
  }

  #die(why: string, cause?: unknown): void {
    this.isGone = true;
    this.#running?.fail(new ThreadCrashedError(this.settings.task, why, { cause }));
  }

  #post(message: ToThread): void {
    this.#thread.postMessage(message);
  }
}

function thrownThere({ code, message, permanent, retryAfterMs }: RemoteError): Error {
  if (permanent) return new PermanentError(message, { code });
  return new ThreadTaskError(message, retryAfterMs === undefined ? { code } : { code, retryAfterMs });
}
