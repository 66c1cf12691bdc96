// Worker threads as devices: one thread each, ended and replaced when it does not listen.
import type { ResourceLimits } from "node:worker_threads";
import { Worker as Thread } from "node:worker_threads";
import { asError, optionsOf } from "@holdfast/core";
import { ModelFailedError } from "../errors.ts";
import type { Device, Worker, WorkerAdapter, WorkerEvents } from "../worker.ts";
import type { FromThread, ToThread } from "./protocol.ts";

export interface WorkerThreadsOptions {
  /** The module that calls `serveModels`. */
  readonly module: URL;
  /** Threads, each a device. From 1 to 256. */
  readonly count: number;
  /** Requests a thread runs at a time; more than one only helps models that wait. @defaultValue 1 */
  readonly slots?: number;
  /** Memory limits of each thread; one that passes them dies alone. @defaultValue Node's own */
  readonly resourceLimits?: ResourceLimits;
  /** Given to the module as `workerData`. */
  readonly workerData?: unknown;
}

/**
 * Devices that are threads of this process.
 *
 * @throws InvalidOptionError when an option is out of range.
 */
export function workerThreads(options: WorkerThreadsOptions): WorkerAdapter {
  const check = optionsOf("workerThreads");
  const count = check.integer("count", options.count, { min: 1, max: 256 });
  const slots = check.integer("slots", options.slots, { min: 1, max: 10_000 }, 1);
  if (!(options.module instanceof URL))
    check.refuse("module", options.module, "a URL, such as new URL(file, import.meta.url)");
  return {
    kind: "worker-threads",
    devices: Array.from({ length: count }, (_, index) => ({ id: `thread-${index}`, slots })),
    start: (device, events, signal) => startThread(options, device, events, signal),
  };
}

function startThread(
  { module, resourceLimits, workerData }: WorkerThreadsOptions,
  device: Device,
  events: WorkerEvents,
  signal: AbortSignal,
): Promise<Worker> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const thread = new Thread(module, {
      name: device.id,
      ...(resourceLimits ? { resourceLimits } : {}),
      workerData,
    });
    // A pool alone does not keep a process alive; whoever awaits one of its requests does.
    thread.unref();
    const models = new Map<number, string>();
    const worker = workerOf(thread, models);
    let isUp = false;
    const onAbort = (): void => {
      void thread.terminate();
      reject(asError(signal.reason));
    };
    signal.addEventListener("abort", onAbort, { once: true });
    const gone = (cause: Error): void => {
      signal.removeEventListener("abort", onAbort);
      if (isUp) events.crashed(cause);
      else reject(cause);
    };
    thread.on("message", (message: FromThread) => {
      if (message.type === "ready") {
        isUp = true;
        signal.removeEventListener("abort", onAbort);
        resolve(worker);
      } else {
        pass(message, models, events);
      }
      if (models.size === 0) thread.unref();
    });
    thread.on("error", (error) => gone(asError(error)));
    thread.on("messageerror", (error) => gone(asError(error)));
    thread.on("exit", (code) =>
      gone(new ModelFailedError(device.id, "EXIT", `the thread ended with code ${code}`)),
    );
  });
}

function workerOf(thread: Thread, models: Map<number, string>): Worker {
  const send = (message: ToThread): void => thread.postMessage(message);
  return {
    run: ({ id, model, input }) => {
      models.set(id, model);
      thread.ref();
      send({ type: "run", id, model, input });
    },
    cancel: (id, reason) => send({ type: "cancel", id, reason }),
    kill: async () => {
      thread.removeAllListeners();
      // What a dying thread still reports is nobody's business any more.
      thread.on("error", () => {});
      await thread.terminate();
    },
  };
}

function pass(
  message: Exclude<FromThread, { type: "ready" }>,
  models: Map<number, string>,
  events: WorkerEvents,
): void {
  if (message.type === "progress") {
    events.progress(message.id, message.value);
    return;
  }
  const model = models.get(message.id) ?? "";
  models.delete(message.id);
  if (message.type === "succeeded") events.succeeded(message.id, message.output);
  else events.failed(message.id, new ModelFailedError(model, message.reason, message.message));
}
