// The life of a worker that is spoken to in messages: it comes up, it is told to go, or it goes by itself.
import { asError } from "@holdfast/core";
import type { Device } from "../device.ts";
import type { Worker, WorkerEvents } from "../worker.ts";
import type { WorkerLink } from "./message-worker.ts";
import { MessageWorker } from "./message-worker.ts";
import type { FromWorker } from "./protocol.ts";

/** A thread or a process in which a worker is about to come up. */
export interface WorkerHost extends WorkerLink {
  /** Lets the process of the pool end before this does. */
  release(): void;
  /** Tells what the worker says, and, maybe more than once, that it is gone. */
  listen(heard: (message: FromWorker) => void, gone: (cause: Error) => void): void;
}

/** Resolves once the worker is up. Rejects when it goes before, or with the signal's reason: then it has been ended. */
export function startMessageWorker(
  host: WorkerHost,
  device: Device,
  events: WorkerEvents,
  signal: AbortSignal,
): Promise<Worker> {
  return new Promise((resolve, reject) => {
    // A pool alone does not keep a process alive; whoever awaits one of its requests does.
    host.release();
    const worker = new MessageWorker(host, device.id, events);
    let isUp = false;
    const onAbort = (): void => void worker.kill().then(() => reject(asError(signal.reason)));
    signal.addEventListener("abort", onAbort, { once: true });
    host.listen(
      (message) => {
        if (message.type !== "ready") {
          worker.take(message);
          return;
        }
        isUp = true;
        // Once more: what comes up holds the process again.
        host.release();
        signal.removeEventListener("abort", onAbort);
        resolve(worker);
      },
      (cause) => {
        signal.removeEventListener("abort", onAbort);
        worker.gone(cause);
        if (isUp) events.crashed(cause);
        else reject(cause);
      },
    );
  });
}
