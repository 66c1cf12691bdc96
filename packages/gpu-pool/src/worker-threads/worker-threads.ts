// Worker threads as devices: one thread each, ended and replaced when it does not listen.
import type { ResourceLimits } from "node:worker_threads";
import { Worker as Thread } from "node:worker_threads";
import { asError, optionsOf } from "@holdfast/core";
import type { Device } from "../device.ts";
import { WorkerFailedError } from "../errors.ts";
import type { WorkerAdapter, WorkerEvents, Worker } from "../worker.ts";
import type { WorkerHost } from "../served/start-worker.ts";
import { startMessageWorker } from "../served/start-worker.ts";

export interface WorkerThreadsOptions {
  /** The module that calls `serveModels`. */
  readonly module: URL;
  /** Threads, each a device. From 1 to 256. */
  readonly count: number;
  /** Requests a thread runs at a time; more than one only helps models that wait. @defaultValue 1 */
  readonly capacity?: number;
  /** Memory of each for models, in bytes. @defaultValue unlimited */
  readonly memoryBytes?: number;
  /** How the devices are named: this, a hyphen and a number from 0. @defaultValue "thread" */
  readonly idPrefix?: string;
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
  check.object("options", options);
  const count = check.integer("count", options.count, { min: 1, max: 256 });
  const capacity = check.integer("capacity", options.capacity, { min: 1, max: 10_000 }, 1);
  const { memoryBytes } = options;
  if (memoryBytes !== undefined) check.integer("memoryBytes", memoryBytes, { min: 1 });
  const prefix = check.string("idPrefix", options.idPrefix, 100, "thread");
  if (!(options.module instanceof URL))
    check.refuse("module", options.module, "a URL, such as new URL(file, import.meta.url)");
  return {
    kind: "worker-threads",
    devices: Array.from({ length: count }, (_, index) => ({
      id: `${prefix}-${index}`,
      capacity,
      ...(memoryBytes === undefined ? {} : { memoryBytes }),
    })),
    start: (device, events, signal) => startThread(options, device, events, signal),
  };
}

async function startThread(
  { module, resourceLimits, workerData }: WorkerThreadsOptions,
  device: Device,
  events: WorkerEvents,
  signal: AbortSignal,
): Promise<Worker> {
  signal.throwIfAborted();
  const thread = new Thread(module, {
    name: device.id,
    ...(resourceLimits ? { resourceLimits } : {}),
    workerData,
  });
  return startMessageWorker(hostOf(thread, device.id), device, events, signal);
}

function hostOf(thread: Thread, device: string): WorkerHost {
  return {
    release: () => thread.unref(),
    listen: (heard, gone) => {
      thread.on("message", heard);
      thread.on("error", (error) => gone(asError(error)));
      thread.on("messageerror", (error) => gone(asError(error)));
      thread.on("exit", (code) => gone(new WorkerFailedError(device, `ended with code ${code}`)));
    },
    post: (message, transfer) => thread.postMessage(message, transfer),
    clone: (input) => void structuredClone(input),
    end: async () => {
      thread.removeAllListeners();
      // What a dying thread still reports is nobody's business any more.
      thread.on("error", () => {});
      await thread.terminate();
    },
  };
}
