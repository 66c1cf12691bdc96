// The worker's side: offers functions as models to the pool that started this thread.
import type { MessagePort, Transferable as NodeTransferable } from "node:worker_threads";
import { parentPort } from "node:worker_threads";
import { InvalidOptionError, systemClock } from "@holdfast/core";
import { UnknownModelError } from "../errors.ts";
import type { ModelRef } from "../model.ts";
import { ItemProgress } from "./item-progress.ts";
import type { LoadableModel, ModelContext, ServedModels } from "./model-function.ts";
import type { FromThread, ToThread } from "./protocol.ts";
import { toWire } from "./wire-error.ts";

/**
 * Serves models. Call it once, in the module given to `workerThreads`. `ArrayBuffer`s of an output, at its top or one
 * level below, are moved to the caller, not copied.
 *
 * @throws InvalidOptionError outside a worker thread.
 */
export function serveModels(models: ServedModels): void {
  if (parentPort === null)
    throw new InvalidOptionError(
      "serveModels",
      "thread",
      "main",
      "called in a thread that workerThreads() started",
    );
  const server = new ModelServer(parentPort, models);
  parentPort.on("message", (message: ToThread) => server.take(message));
  parentPort.postMessage({ type: "ready" } satisfies FromThread);
}

class ModelServer {
  readonly #running = new Map<number, AbortController>();

  constructor(
    private readonly port: MessagePort,
    private readonly models: ServedModels,
  ) {}

  take(message: ToThread): void {
    switch (message.type) {
      case "load":
        void this.#answer(message.call, () => this.#served(message.model).load?.());
        break;
      case "unload":
        void this.#answer(message.call, () => this.#served(message.model).unload?.());
        break;
      case "check":
        void this.#answer(message.call, () => {});
        break;
      case "run":
        void this.#runBatch(message.model, message.items);
        break;
      case "cancel":
        this.#running.get(message.id)?.abort(new DOMException(message.reason, "AbortError"));
        break;
    }
  }

  async #runBatch(
    model: ModelRef,
    items: readonly { readonly id: number; readonly input: unknown }[],
  ): Promise<void> {
    // Known from the start, so that one can be cancelled while it waits behind its neighbours.
    for (const { id } of items) this.#running.set(id, new AbortController());
    for (const { id, input } of items) await this.#runItem(model, id, input);
  }

  async #runItem(model: ModelRef, id: number, input: unknown): Promise<void> {
    const { signal } = this.#running.get(id)!;
    const progress = new ItemProgress(systemClock, (value) => this.#send({ type: "progress", id, value }));
    try {
      signal.throwIfAborted();
      const output = await this.#served(model).run(input as never, contextOf(model, signal, progress));
      progress.flush();
      this.#send({ type: "succeeded", id, output }, buffersIn(output));
    } catch (thrown) {
      progress.drop();
      this.#send({ type: "failed", id, error: toWire(thrown) });
    } finally {
      this.#running.delete(id);
    }
  }

  #served({ key, name }: ModelRef): LoadableModel {
    const served = this.models[key] ?? this.models[name];
    if (served === undefined) throw new UnknownModelError(key);
    return typeof served === "function" ? { run: served } : served;
  }

  async #answer(call: number, work: () => unknown): Promise<void> {
    try {
      await work();
      this.#send({ type: "done", call });
    } catch (thrown) {
      this.#send({ type: "done", call, error: toWire(thrown) });
    }
  }

  #send(message: FromThread, transfer: readonly NodeTransferable[] = []): void {
    this.port.postMessage(message, transfer);
  }
}

function contextOf({ key }: ModelRef, signal: AbortSignal, progress: ItemProgress): ModelContext {
  return {
    model: key,
    signal,
    progress: (value) => progress.report(value),
    checkpoint: async () => {
      // A turn of the event loop: messages of the pool come in before it goes on.
      await new Promise((resolve) => setImmediate(resolve));
      signal.throwIfAborted();
    },
  };
}

/** The buffers an output consists of. A view of a part of a buffer is copied: others may look at the rest. */
function buffersIn(output: unknown): NodeTransferable[] {
  const candidates = typeof output === "object" && output !== null ? [output, ...Object.values(output)] : [];
  const buffers = candidates.map((value: unknown) =>
    ArrayBuffer.isView(value) && value.byteLength === value.buffer.byteLength ? value.buffer : value,
  );
  return [...new Set(buffers.filter((value) => value instanceof ArrayBuffer))];
}
