// The pool's side of a worker that is spoken to in messages: a thread or a process.
import { asError } from "@holdfast/core";
import { WorkerFailedError } from "../errors.ts";
import type { ModelRef } from "../model.ts";
import type { Batch, Worker, WorkerEvents } from "../worker.ts";
import type { FromWorker, ToWorker } from "./protocol.ts";
import { fromWire, toWire } from "./wire-error.ts";

/** The way to a worker. */
export interface WorkerLink {
  /** Throws when a message cannot be cloned. */
  post(message: ToWorker, transfer: readonly ArrayBuffer[]): void;
  /** Ends the worker, silently. Resolves when nothing of it is left. */
  end(): Promise<void>;
}

interface Call {
  readonly model: string;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

export class MessageWorker implements Worker {
  /** Loads, unloads and checks that wait for their answer. */
  readonly #calls = new Map<number, Call>();
  /** Models of the items that run, by item. */
  readonly #models = new Map<number, string>();
  #nextCall = 1;

  constructor(
    private readonly link: WorkerLink,
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

  run({ id: batch, model, items }: Batch): void {
    for (const { id } of items) this.#models.set(id, model.key);
    const transfer = items.flatMap((item) => item.transfer ?? []);
    try {
      const plain = items.map(({ id, input }) => ({ id, input }));
      this.link.post({ type: "run", batch, model, items: plain }, transfer);
    } catch (thrown) {
      // An input that cannot be cloned. Later, so that `run` never answers before it returns.
      const error = toWire(thrown);
      queueMicrotask(() => {
        for (const { id } of items) this.take({ type: "failed", id, error });
      });
    }
  }

  cancel(itemId: number, reason: string): void {
    this.link.post({ type: "cancel", id: itemId, reason }, []);
  }

  async kill(): Promise<void> {
    this.gone(new WorkerFailedError(this.device, "was ended"));
    await this.link.end();
  }

  /** Takes in what the worker says. */
  take(message: Exclude<FromWorker, { type: "ready" }>): void {
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
    if (message.type === "outOfMemory") {
      this.events.outOfMemory(message.batch);
      return;
    }
    const model = this.#models.get(message.id) ?? "";
    this.#models.delete(message.id);
    if (message.type === "succeeded") this.events.succeeded(message.id, message.output);
    else this.events.failed(message.id, fromWire(model, message.error));
  }

  /** The worker is no more: nothing will answer. */
  gone(cause: Error): void {
    for (const call of this.#calls.values()) call.reject(cause);
    this.#calls.clear();
  }

  #call(model: string, message: (call: number) => ToWorker, signal?: AbortSignal): Promise<void> {
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
      this.link.post(message(call), []);
    });
  }
}
