// The pool's side of one thread.
import type { Worker as Thread } from "node:worker_threads";
import { asError } from "@holdfast/core";
import { WorkerFailedError } from "../errors.ts";
import type { ModelRef } from "../model.ts";
import type { Batch, Worker, WorkerEvents } from "../worker.ts";
import type { FromThread, ToThread } from "./protocol.ts";
import { fromWire, toWire } from "./wire-error.ts";

interface Call {
  readonly model: string;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

export class ThreadWorker implements Worker {
  /** Loads, unloads and checks that wait for their answer. */
  readonly #calls = new Map<number, Call>();
  /** Models of the items that run, by item. */
  readonly #models = new Map<number, string>();
  #nextCall = 1;

  constructor(
    private readonly thread: Thread,
    private readonly device: string,
    private readonly events: WorkerEvents,
  ) {}

  load(model: ModelRef, signal: AbortSignal): Promise<void> {
    return this.#call(model.key, (call) => ({ type: "load", call, model }), signal);
  }

  unload(model: ModelRef): Promise<void> {
    return this.#call(model.key, (call) => ({ type: "unload", call, model }));
  }

  check(signal: AbortSignal): Promise<void> {
    return this.#call("", (call) => ({ type: "check", call }), signal);
  }

  run({ model, items }: Batch): void {
    for (const { id } of items) this.#models.set(id, model.key);
    const transfer = items.flatMap((item) => item.transfer ?? []);
    try {
      const plain = items.map(({ id, input }) => ({ id, input }));
      this.thread.postMessage({ type: "run", model, items: plain } satisfies ToThread, transfer);
    } catch (thrown) {
      // An input that cannot be cloned. Later, so that `run` never answers before it returns.
      const error = toWire(thrown);
      queueMicrotask(() => {
        for (const { id } of items) this.take({ type: "failed", id, error });
      });
    }
  }

  cancel(itemId: number, reason: string): void {
    this.thread.postMessage({ type: "cancel", id: itemId, reason } satisfies ToThread);
  }

  async kill(): Promise<void> {
    this.thread.removeAllListeners();
    // What a dying thread still reports is nobody's business any more.
    this.thread.on("error", () => {});
    this.gone(new WorkerFailedError(this.device, "was ended"));
    await this.thread.terminate();
  }

  /** Takes in what the thread says. */
  take(message: Exclude<FromThread, { type: "ready" }>): void {
    if (message.type === "done") {
      const call = this.#calls.get(message.call);
      this.#calls.delete(message.call);
      if (message.error === undefined) call?.resolve();
      else call?.reject(fromWire(call.model, message.error));
      return;
    }
    if (message.type === "progress") {
      this.events.progress(message.id, message.value);
      return;
    }
    const model = this.#models.get(message.id) ?? "";
    this.#models.delete(message.id);
    if (message.type === "succeeded") this.events.succeeded(message.id, message.output);
    else this.events.failed(message.id, fromWire(model, message.error));
  }

  /** The thread is no more: nothing will answer. */
  gone(cause: Error): void {
    for (const call of this.#calls.values()) call.reject(cause);
    this.#calls.clear();
  }

  #call(model: string, message: (call: number) => ToThread, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const call = this.#nextCall;
      this.#nextCall += 1;
      const onAbort = (): void => {
        this.#calls.delete(call);
        reject(asError(signal?.reason));
      };
      const leave = (): void => signal?.removeEventListener("abort", onAbort);
      this.#calls.set(call, {
        model,
        resolve: () => {
          leave();
          resolve();
        },
        reject: (error) => {
          leave();
          reject(error);
        },
      });
      signal?.addEventListener("abort", onAbort, { once: true });
      this.thread.postMessage(message(call));
    });
  }
}
