// Child processes as devices: what breaks one, or leaks in it, stays in it; ended with all it holds.
import type { ChildProcess } from "node:child_process";
import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import { serialize } from "node:v8";
import { optionsOf } from "@holdfast/core";
import type { Device } from "../device.ts";
import { WorkerFailedError } from "../errors.ts";
import type { WorkerHost } from "../served/start-worker.ts";
import { startMessageWorker } from "../served/start-worker.ts";
import type { DeviceProvider, Worker, WorkerAdapter, WorkerEvents } from "../worker.ts";

/** How processes are started. */
export interface ProcessOptions {
  /** The module that calls `serveModels`. */
  readonly module: URL;
  /**
   * Added to the environment, such as `CUDA_VISIBLE_DEVICES`. A function is asked for each device.
   * @defaultValue nothing
   */
  readonly env?: Readonly<Record<string, string>> | ((device: Device) => Readonly<Record<string, string>>);
  /** For Node itself, such as `--max-old-space-size=512`. @defaultValue none */
  readonly execArgv?: readonly string[];
}

export interface ChildProcessesOptions extends ProcessOptions {
  /**
   * One process for each device; or a number of them, named `process-0` and so on, that run one batch at a time.
   * A device is told to its process in the environment as `HOLDFAST_DEVICE`.
   */
  readonly devices: number | readonly Device[];
}

/**
 * Devices that are processes. Inputs and outputs are copied between them; a `SharedArrayBuffer` cannot be.
 *
 * @throws InvalidOptionError when an option is out of range.
 */
export function childProcesses(options: ChildProcessesOptions): WorkerAdapter {
  const check = optionsOf("childProcesses");
  check.object("options", options);
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

export interface ChildProcessProviderOptions extends ProcessOptions {
  /** What each device is like. @defaultValue one batch at a time */
  readonly device?: Omit<Device, "id">;
  /** How they are named: this, a hyphen and a number from 0. @defaultValue "process" */
  readonly idPrefix?: string;
}

/**
 * Processes that come and go, for `gpuPool({ autoscale: { provider } })`: each is started when it is needed, and ended
 * when it is not.
 *
 * @throws InvalidOptionError when an option is out of range.
 */
export function childProcessProvider(options: ChildProcessProviderOptions): DeviceProvider {
  const check = optionsOf("childProcessProvider");
  check.object("options", options);
  if (!(options.module instanceof URL))
    check.refuse("module", options.module, "a URL, such as new URL(file, import.meta.url)");
  const prefix = check.string("idPrefix", options.idPrefix, 100, "process");
  const device = options.device ?? { capacity: 1 };
  let next = 0;
  return {
    device,
    workers: {
      kind: "child-processes",
      start: (one, events, signal) => startProcess(options, one, events, signal),
    },
    start: async () => {
      next += 1;
      return { ...device, id: `${prefix}-${next - 1}` };
    },
    // It has ended with its worker.
    stop: async () => {},
  };
}

async function startProcess(
  { module, env = {}, execArgv = [] }: ProcessOptions,
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
    clone: (input) => void serialize(input),
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
