// The worker's side: offers functions as models to the pool that started this thread or process.
import type { Transferable as NodeTransferable } from "node:worker_threads";
import { parentPort } from "node:worker_threads";
import { asError, InvalidOptionError, optionsOf, systemClock } from "@holdfast/core";
import { ModelFailedError, UnknownModelError } from "../errors.ts";
import { classifyFailure } from "../health/classify-failure.ts";
import type { ModelRef } from "../model.ts";
import { FreeMemory } from "./free-memory.ts";
import { ItemProgress } from "./item-progress.ts";
import type {
  BatchContext,
  BatchFunction,
  LoadableModel,
  ModelContext,
  ServedModels,
  ServeOptions,
} from "./model-function.ts";
import type { FromWorker, ToWorker } from "./protocol.ts";
import { toWire } from "./wire-error.ts";

/**
 * Serves models. Call it once, in the module given to `workerThreads` or `childProcesses`. `ArrayBuffer`s of an output,
 * at its top or one level below, are moved to the caller of a thread, not copied.
 *
 * @throws InvalidOptionError outside a worker, or when an option is no function.
 */
export function serveModels(models: ServedModels, options: ServeOptions = {}): void {
  const check = optionsOf("serveModels");
  check.object("models", models);
  const freeMemory = check.function("freeMemory", check.object("options", options).freeMemory);
  const send = senderToPool();
  const server = new ModelServer(send, models, freeMemory);
  const take = (message: unknown): void => server.take(message as ToWorker);
  if (parentPort === null) process.on("message", take);
  else parentPort.on("message", take);
  send({ type: "ready" }, []);
}

type Send = (message: FromWorker, transfer: readonly NodeTransferable[]) => void;

function senderToPool(): Send {
  const port = parentPort;
  if (port !== null) return (message, transfer) => port.postMessage(message, transfer);
  if (process.send === undefined)
    throw new InvalidOptionError(
      "serveModels",
      "thread",
      "main",
      "called in a worker that workerThreads() or childProcesses() started",
    );
  // A pool that is gone needs no worker.
  process.on("disconnect", () => process.exit());
  return (message) => process.send?.(message);
}

interface Item {
  readonly id: number;
  readonly input: unknown;
}

class ModelServer {
  readonly #running = new Map<number, AbortController>();
  readonly #memory: FreeMemory;

  constructor(
    private readonly send: Send,
    private readonly models: ServedModels,
    freeMemory: ServeOptions["freeMemory"],
  ) {
    this.#memory = new FreeMemory(freeMemory, (freeBytes) => this.#send({ type: "memory", freeBytes }));
  }

  take(message: ToWorker): void {
    switch (message.type) {
      case "load":
        void this.#move(message.call, () => this.#served(message.model).load?.());
        break;
      case "unload":
        void this.#move(message.call, () => this.#served(message.model).unload?.());
        break;
      case "check":
        void this.#answer(message.call, () => {});
        this.#memory.measure();
        break;
      case "run":
        void this.#runBatch(message);
        break;
      case "cancel":
        this.#running.get(message.id)?.abort(new DOMException(message.reason, "AbortError"));
        break;
    }
  }

  async #runBatch({ batch, model, items }: ToWorker & { readonly type: "run" }): Promise<void> {
    // Known from the start, so that one can be cancelled while it waits behind its neighbours.
    for (const { id } of items) this.#running.set(id, new AbortController());
    const together = this.#find(model)?.runBatch;
    if (together === undefined) {
      for (const { id, input } of items) await this.#runItem(model, id, input);
      return;
    }
    try {
      await this.#runTogether(together, model, items);
    } catch (thrown) {
      const kind = classifyFailure(asError(thrown));
      if (kind === "out-of-memory" && items.length > 1) {
        for (const { id } of items) this.#running.delete(id);
        this.#send({ type: "outOfMemory", batch });
      } else if (items.length === 1 || kind !== "item") {
        for (const { id } of items) this.#failed(id, thrown);
      } else {
        for (const item of items) await this.#runAlone(together, model, item);
      }
    }
  }

  async #runAlone(together: BatchFunction, model: ModelRef, item: Item): Promise<void> {
    await this.#runTogether(together, model, [item]).catch((thrown: unknown) =>
      this.#failed(item.id, thrown),
    );
  }

  /** Throws when the whole batch failed: none of it is answered then. */
  async #runTogether(together: BatchFunction, model: ModelRef, items: readonly Item[]): Promise<void> {
    const signals = items.map(({ id }) => this.#running.get(id)!.signal);
    const reports = items.map(
      ({ id }) => new ItemProgress(systemClock, (value) => this.#send({ type: "progress", id, value })),
    );
    try {
      const context: BatchContext = {
        model: model.key,
        signals,
        progress: (index, value) => reports[index]?.report(value),
        checkpoint: async () => {
          await new Promise((resolve) => setImmediate(resolve));
          if (signals.every(({ aborted }) => aborted)) signals[0]?.throwIfAborted();
        },
      };
      const outputs = await together(items.map(({ input }) => input) as never, context);
      if (!Array.isArray(outputs) || outputs.length !== items.length)
        throw new ModelFailedError(
          model.key,
          "BATCH_OUTPUTS",
          `${model.key} did not give an output for each of ${items.length} inputs`,
        );
      for (const [index, { id }] of items.entries()) {
        const output: unknown = outputs[index];
        const signal = signals[index]!;
        reports[index]!.flush();
        if (signal.aborted) this.#failed(id, signal.reason);
        else if (output instanceof Error) this.#failed(id, output);
        else this.#succeeded(id, output);
      }
    } finally {
      for (const report of reports) report.drop();
    }
  }

  async #runItem(model: ModelRef, id: number, input: unknown): Promise<void> {
    const { signal } = this.#running.get(id)!;
    const progress = new ItemProgress(systemClock, (value) => this.#send({ type: "progress", id, value }));
    try {
      signal.throwIfAborted();
      const { run } = this.#served(model);
      if (run === undefined) throw new UnknownModelError(model.key);
      const output = await run(input as never, contextOf(model, signal, progress));
      progress.flush();
      this.#succeeded(id, output);
    } catch (thrown) {
      progress.drop();
      this.#failed(id, thrown);
    }
  }

  #succeeded(id: number, output: unknown): void {
    try {
      this.#send({ type: "succeeded", id, output }, buffersIn(output));
      this.#running.delete(id);
    } catch (thrown) {
      // An output that cannot be cloned.
      this.#failed(id, thrown);
    }
  }

  #failed(id: number, thrown: unknown): void {
    this.#running.delete(id);
    this.#send({ type: "failed", id, error: toWire(thrown) });
  }

  #find({ key, name }: ModelRef): LoadableModel | undefined {
    const served = this.models[key] ?? this.models[name];
    return typeof served === "function" ? { run: served } : served;
  }

  #served(model: ModelRef): LoadableModel {
    const served = this.#find(model);
    if (served === undefined) throw new UnknownModelError(model.key);
    return served;
  }

  /** Loads or unloads. */
  async #move(call: number, work: () => unknown): Promise<void> {
    await this.#answer(call, work);
    this.#memory.moved();
    this.#memory.measure();
  }

  async #answer(call: number, work: () => unknown): Promise<void> {
    try {
      await work();
      this.#send({ type: "done", call });
    } catch (thrown) {
      this.#send({ type: "done", call, error: toWire(thrown) });
    }
  }

  #send(message: FromWorker, transfer: readonly NodeTransferable[] = []): void {
    this.send(message, transfer);
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
