// Child processes as devices: what breaks one, or leaks in it, stays in it; ended with all it holds.
import type { ChildProcess } from "node:child_process";
import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import { optionsOf } from "@holdfast/core";
import type { Device } from "../device.ts";
import { WorkerFailedError } from "../errors.ts";
import type { WorkerHost } from "../served/start-worker.ts";
import { startMessageWorker } from "../served/start-worker.ts";
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

async function startProcess(
  { module, env = {}, execArgv = [] }: ChildProcessesOptions,
  device: Device,
  events: WorkerEvents,
  signal: AbortSignal,
): Promise<Worker> {
  signal.throwIfAborted();
  const added = typeof env === "function" ? env(device) : env;
  const child = fork(fileURLToPath(module), {
    serialization: "advanced",
    env: { ...process.env, ...added, HOLDFAST_DEVICE: device.id },
    execArgv: [...execArgv],
  });
  return startMessageWorker(hostOf(child, device.id), device, events, signal);
}

function hostOf(child: ChildProcess, device: string): WorkerHost {
  return {
    release: () => {
      child.unref();
      child.channel?.unref();
    },
    listen: (heard, gone) => {
      child.on("message", heard);
      child.on("error", gone);
      child.on("exit", (code, by) =>
        gone(new WorkerFailedError(device, by === null ? `ended with code ${code}` : `was ended by ${by}`)),
      );
    },
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
