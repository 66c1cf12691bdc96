// The worker's side: offers functions as models to the pool that started this thread.
import type { Transferable as NodeTransferable } from "node:worker_threads";
import { parentPort } from "node:worker_threads";
import { asError, isHoldfastError } from "@holdfast/core";
import type { FromThread, ToThread } from "./protocol.ts";

/** What a model is told about its run. */
export interface ModelContext {
  /** Aborted when the request is cancelled or its deadline passes. */
  readonly signal: AbortSignal;
  /** Reports something to the caller, often. Calls within one turn of the event loop are one message: the last. */
  progress(value: unknown): void;
  /**
   * Lets messages in, such as a cancel, and throws if the request was cancelled. Long computations call it every
   * few milliseconds; without it a cancelled thread can only be ended.
   */
  checkpoint(): Promise<void>;
}

/** A model: a function that may take long. */
export type ModelFunction = (input: never, context: ModelContext) => unknown;

/**
 * Serves models by name, or by `name@version`. Call it once, in the module given to `workerThreads`.
 * `ArrayBuffer`s of an output are moved to the caller, not copied.
 */
export function serveModels(models: Readonly<Record<string, ModelFunction>>): void {
  const port = parentPort;
  if (port === null) throw new TypeError("serveModels belongs in a worker thread; workerThreads() starts it");
  const running = new Map<number, AbortController>();
  const send = (message: FromThread, transfer: readonly NodeTransferable[] = []): void =>
    port.postMessage(message, transfer);

  const run = async (id: number, model: string, input: unknown): Promise<void> => {
    const controller = new AbortController();
    running.set(id, controller);
    const context = contextFor(id, controller.signal, send);
    try {
      const serve = models[model] ?? models[model.split("@", 1)[0]!];
      if (serve === undefined) throw new TypeError(`this worker serves no model "${model}"`);
      const output = await serve(input as never, context);
      context.flush();
      send({ type: "succeeded", id, output }, buffersIn(output));
    } catch (thrown) {
      const error = asError(thrown);
      const reason = isHoldfastError(error) ? error.code : error.name;
      send({ type: "failed", id, reason, message: error.message });
    } finally {
      running.delete(id);
    }
  };

  port.on("message", (message: ToThread) => {
    if (message.type === "run") void run(message.id, message.model, message.input);
    else running.get(message.id)?.abort(new DOMException(message.reason, "AbortError"));
  });
  send({ type: "ready" });
}

function contextFor(
  id: number,
  signal: AbortSignal,
  send: (message: FromThread) => void,
): ModelContext & { flush(): void } {
  let latest: { readonly value: unknown } | undefined;
  const flush = (): void => {
    if (latest !== undefined) send({ type: "progress", id, value: latest.value });
    latest = undefined;
  };
  return {
    signal,
    flush,
    progress: (value) => {
      latest = { value };
    },
    checkpoint: async () => {
      flush();
      // A turn of the event loop: messages of the pool come in before it goes on.
      await new Promise((resolve) => setImmediate(resolve));
      signal.throwIfAborted();
    },
  };
}

/** The buffers an output consists of, at its top or one level below. */
function buffersIn(output: unknown): NodeTransferable[] {
  const candidates = typeof output === "object" && output !== null ? [output, ...Object.values(output)] : [];
  const buffers = candidates.map((value: unknown) => (ArrayBuffer.isView(value) ? value.buffer : value));
  return [...new Set(buffers.filter((value) => value instanceof ArrayBuffer))];
}
