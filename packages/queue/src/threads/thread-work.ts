// The thread's side: runs the tasks that the worker hands to it, one at a time.
import type { TransferListItem } from "node:worker_threads";
import { parentPort } from "node:worker_threads";
import { hasCode, isHoldfastError, optionsOf } from "@holdfast/core";
import type { TaskDefinition } from "../task/task.ts";
import { failureOf, isPermanent } from "../worker/failure.ts";
import type { TaskContext } from "../worker/handler.ts";
import { ThreadTaskError } from "./errors.ts";
import type { FromThread, RemoteError, ToThread } from "./messages.ts";

/** What a task receives on its thread. */
export interface ThreadContext<Input> extends Pick<
  TaskContext<Input>,
  "id" | "input" | "attempt" | "maxAttempts" | "fence" | "signal"
> {
  readonly progress: (value: unknown) => void;
  readonly log: (line: string) => void;
}

/** A result whose bytes are handed over instead of copied. Made by {@link transferring}. */
export class Transferred<Result> {
  constructor(
    readonly result: Result,
    readonly list: readonly TransferListItem[],
  ) {}
}

/** Hands the buffers of a result over to the worker: they are gone on this thread. */
export function transferring<Result>(result: Result, list: readonly TransferListItem[]): Transferred<Result> {
  return new Transferred(result, list);
}

/**
 * Runs tasks of one kind on this thread. Called once by the module that `threadHandler` was given.
 *
 * @throws InvalidOptionError on the main thread.
 *
 * @example
 * ```ts no-run: a module of its own
 * import { defineTask } from "@holdfast/queue";
 * import { threadWork } from "@holdfast/queue/threads";
 *
 * const blur = defineTask<{ radius: number }, { radius: number }, number>({ name: "blur" });
 * threadWork(blur, ({ input, progress }) => {
 *   progress(50);
 *   return input.radius * 2;
 * });
 * ```
 */
export function threadWork<Input, Parsed, Result, Output>(
  task: TaskDefinition<Input, Parsed, Result, Output>,
  run: (
    context: ThreadContext<Parsed>,
  ) => Result | Transferred<Result> | Promise<Result | Transferred<Result>>,
): void {
  const port = parentPort;
  if (port === null) return optionsOf("threadWork").refuse("task", task.name, "run on a thread of its own");
  const post = (message: FromThread, list?: readonly TransferListItem[]): void =>
    port.postMessage(message, list);
  const running = new Map<number, AbortController>();
  port.on("message", (message: ToThread) => {
    if (message.type === "abort") running.get(message.run)?.abort(errorOf(message.reason));
    else void perform(message, run as (context: ThreadContext<never>) => unknown, running, post);
  });
}

async function perform(
  { run: number, id, input, attempt, maxAttempts, fence }: Extract<ToThread, { readonly type: "run" }>,
  run: (context: ThreadContext<never>) => unknown,
  running: Map<number, AbortController>,
  post: (message: FromThread, list?: readonly TransferListItem[]) => void,
): Promise<void> {
  const controller = new AbortController();
  running.set(number, controller);
  const { signal } = controller;
  const progress = (value: unknown): void => post({ type: "progress", run: number, value });
  const log = (line: string): void => post({ type: "log", run: number, line: String(line) });
  try {
    const context = { id, input: input as never, attempt, maxAttempts, fence, signal, progress, log };
    const made = await run(context);
    if (made instanceof Transferred) post({ type: "done", run: number, result: made.result }, made.list);
    else post({ type: "done", run: number, result: made });
  } catch (thrown) {
    post({ type: "failed", run: number, error: remoteOf(thrown) });
  } finally {
    running.delete(number);
  }
}

/** What can be told of an error. A result that no message can carry is permanent. */
export function remoteOf(thrown: unknown): RemoteError {
  const { code, message } = failureOf(thrown);
  const isUncloneable = thrown instanceof DOMException && thrown.name === "DataCloneError";
  const { retryAfterMs } = (isHoldfastError(thrown) ? thrown : {}) as { readonly retryAfterMs?: number };
  return {
    code: isUncloneable ? "UNSERIALIZABLE" : code,
    message,
    permanent: isUncloneable || isPermanent(thrown) || hasCode(thrown, "UNSERIALIZABLE"),
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  };
}

function errorOf({ code, message }: RemoteError): Error {
  return new ThreadTaskError(message, { code });
}
