// The pool's side of a worker that is spoken to in messages: a thread or a process.
import { asError } from "@holdfast/core";
import { WorkerFailedError } from "../errors.ts";
import type { ModelRef } from "../model.ts";
import type { Batch, BatchItem, Worker, WorkerEvents } from "../worker.ts";
import type { FromWorker, ToWorker, WireError } from "./protocol.ts";
import { fromWire, toWire } from "./wire-error.ts";

/** The way to a worker. */
export interface WorkerLink {
  /** Throws when a message cannot be cloned: then nothing of it has left. */
  post(message: ToWorker, transfer: readonly ArrayBuffer[]): void;
  /** Throws when an input cannot be cloned on this way. */
  clone(input: unknown): void;
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

  run(batch: Batch): void {
    for (const { id } of batch.items) this.#models.set(id, batch.model.key);
    try {
      this.#post(batch, batch.items);
    } catch (thrown) {
      this.#postSound(batch, thrown);
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
    if (message.type === "memory") {
      this.events.memory(message.freeBytes);
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

  #post({ id: batch, model }: Batch, items: readonly BatchItem[]): void {
    const transfer = items.flatMap((item) => item.transfer ?? []);
    const plain = items.map(({ id, input }) => ({ id, input }));
    this.link.post({ type: "run", batch, model, items: plain }, transfer);
  }

  /** A batch could not be sent: whose fault it is fails, and only now is it worth to look. The others go together. */
  #postSound(batch: Batch, thrown: unknown): void {
    const faults = this.#faultsIn(batch.items);
    const sound = batch.items.filter((item) => !faults.has(item));
    try {
      if (faults.size === 0) throw thrown;
      if (sound.length > 0) this.#post(batch, sound);
    } catch (again) {
      for (const item of sound) faults.set(item, again);
    }
    const { key } = batch.model;
    // Later, so that `run` never answers before it returns.
    queueMicrotask(() => {
      for (const [{ id }, fault] of faults) this.take({ type: "failed", id, error: notCloned(key, fault) });
    });
  }

  /** What keeps items from being sent. A buffer that two give away is the first one's. */
  #faultsIn(items: readonly BatchItem[]): Map<BatchItem, unknown> {
    const faults = new Map<BatchItem, unknown>();
    const given = new Set<ArrayBuffer>();
    for (const item of items) {
      const { input, transfer = [] } = item;
      try {
        this.link.clone(input);
        if (transfer.some((buffer) => given.has(buffer) || isDetached(buffer)))
          faults.set(item, "a buffer of its `transfer` was given away before");
        else for (const buffer of transfer) given.add(buffer);
      } catch (thrown) {
        faults.set(item, thrown);
      }
    }
    return faults;
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

function notCloned(model: string, thrown: unknown): WireError {
  const { message, ...rest } = toWire(thrown);
  const said = typeof thrown === "string" ? thrown : message;
  return {
    ...rest,
    code: "NOT_CLONED",
    message: `an input of ${model} cannot be sent to its worker: ${said}`,
  };
}

function isDetached(buffer: ArrayBuffer): boolean {
  try {
    return new Uint8Array(buffer).byteLength < 0;
  } catch {
    return true;
  }
}
