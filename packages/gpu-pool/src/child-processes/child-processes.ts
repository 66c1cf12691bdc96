// Child processes as devices: what breaks one, or leaks in it, stays in it; ended with all it holds.
import type { ChildProcess } from "node:child_process";
import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import { asError, optionsOf } from "@holdfast/core";
import type { Device } from "../device.ts";
import { WorkerFailedError } from "../errors.ts";
import type { WorkerLink } from "../served/message-worker.ts";
import { MessageWorker } from "../served/message-worker.ts";
import type { FromWorker } from "../served/protocol.ts";
import type { Worker, WorkerAdapter, WorkerEvents } from "../worker.ts";

export interface ChildProcessesOptions {
  /** The module that calls `serveModels`. */
  readonly module: URL;
  /**
   * One process for each device; or a number of them, named `process-0` and so on, that run one batch at a time.
   * A device is told to its process in the environment as `HOLDFAST_DEVICE`.
   */
  readonly devices: number | readonly Device[];
  /**
   * Added to the environment, such as `CUDA_VISIBLE_DEVICES`. A function is asked for each device.
   * @defaultValue nothing
   */
  readonly env?: Readonly<Record<string, string>> | ((device: Device) => Readonly<Record<string, string>>);
  /** For Node itself, such as `--max-old-space-size=512`. @defaultValue none */
  readonly execArgv?: readonly string[];
}

/**
 * Devices that are processes. Inputs and outputs are copied between them; a `SharedArrayBuffer` cannot be.
 *
 * @throws InvalidOptionError when an option is out of range.
 */
export function childProcesses(options: ChildProcessesOptions): WorkerAdapter {
  const check = optionsOf("childProcesses");
  if (!(options.module instanceof URL))
    check.refuse("module", options.module, "a URL, such as new URL(file, import.meta.url)");
  const { devices } = options;
  return {
    kind: "child-processes",
    devices: Array.isArray(devices)
      ? (devices as readonly Device[])
      : Array.from(
          { length: check.integer("devices", devices as number, { min: 1, max: 256 }) },
          (_, index) => ({ id: `process-${index}`, capacity: 1 }),
        ),
    start: (device, events, signal) => startProcess(options, device, events, signal),
  };
}

function startProcess(
  { module, env = {}, execArgv = [] }: ChildProcessesOptions,
  device: Device,
  events: WorkerEvents,
  signal: AbortSignal,
): Promise<Worker> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const added = typeof env === "function" ? env(device) : env;
    const child = fork(fileURLToPath(module), {
      serialization: "advanced",
      env: { ...process.env, ...added, HOLDFAST_DEVICE: device.id },
      execArgv: [...execArgv],
    });
    // A pool alone does not keep a process alive; whoever awaits one of its requests does.
    const release = (): void => {
      child.unref();
      child.channel?.unref();
    };
    release();
    const worker = new MessageWorker(linkTo(child), device.id, events);
    let isUp = false;
    const onAbort = (): void => void worker.kill().then(() => reject(asError(signal.reason)));
    signal.addEventListener("abort", onAbort, { once: true });
    const gone = (cause: Error): void => {
      signal.removeEventListener("abort", onAbort);
      worker.gone(cause);
      if (isUp) events.crashed(cause);
      else reject(cause);
    };
    child.on("message", (message: FromWorker) => {
      if (message.type !== "ready") {
        worker.take(message);
        return;
      }
      isUp = true;
      release();
      signal.removeEventListener("abort", onAbort);
      resolve(worker);
    });
    child.on("error", (error) => gone(error));
    child.on("exit", (code, by) =>
      gone(new WorkerFailedError(device.id, by === null ? `ended with code ${code}` : `was ended by ${by}`)),
    );
  });
}

function linkTo(child: ChildProcess): WorkerLink {
  return {
    post: (message) => {
      // One that is gone has said so, or is about to.
      if (child.connected) child.send(message, () => {});
    },
    end: async () => {
      child.removeAllListeners();
      child.on("error", () => {});
      if (child.exitCode !== null || child.signalCode !== null) return;
      const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
      // A frozen one does not heed anything less.
      child.kill("SIGKILL");
      child.ref();
      await ended;
    },
  };
}
