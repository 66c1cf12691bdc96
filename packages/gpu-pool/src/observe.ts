// What a pool shows of itself: snapshots, and events on diagnostics channels.
import type { DeviceStatus } from "./device.ts";
import type { DeviceMemory } from "./scheduler/device-memory.ts";
import type { ModelCounts } from "./scheduler/model-counts.ts";
import type { SupervisedDevice } from "./supervised-device.ts";

/** Published as `holdfast:gpu-pool:device` whenever a device's status changes. */
export interface DeviceEvent {
  readonly pool: string;
  readonly device: string;
  readonly status: DeviceStatus;
  readonly failuresInARow: number;
  readonly lastFailure?: string;
}

/** Published as `holdfast:gpu-pool:request` when a request has its answer. Times in milliseconds. */
export interface RequestEvent {
  readonly pool: string;
  readonly model: string;
  readonly outcome: "succeeded" | "failed" | "crashed" | "cancelled" | "deadline" | "refused" | "closed";
  readonly waitedMs: number;
  readonly ranMs: number;
  /** Absent when it never ran. */
  readonly device?: string;
}

/** Published as `holdfast:gpu-pool:model` when a model is loaded or unloaded on a device while the pool works. */
export interface ModelEvent {
  readonly pool: string;
  readonly device: string;
  readonly model: string;
  readonly change: "loaded" | "load-failed" | "unloaded";
}

/** Published as `holdfast:gpu-pool:scale` when devices come and go with the work. */
export interface ScaleEvent {
  readonly pool: string;
  /** `ordered`, `provided` or `refused` by the provider, `returned` to it. */
  readonly change: "ordered" | "provided" | "refused" | "returned";
  /** Devices of the provider from now on, those on their way included. */
  readonly devices: number;
  /** Absent when it is not known yet. */
  readonly device?: string;
  /** Why a device is refused, in at most 200 characters: what the provider says, or what is wrong with what it brought. */
  readonly reason?: string;
}

/** One model's present state; plain JSON. */
export interface ModelSnapshot extends ModelCounts {
  /** `name@version`. */
  readonly key: string;
  /** Memory that it takes on each device, in bytes. */
  readonly memoryBytes: number;
}

/** How requests have ended so far. */
export type RequestCounts = Readonly<Record<RequestEvent["outcome"], number>>;

/** A request that runs. */
export interface RunningSnapshot {
  readonly id: number;
  readonly model: string;
  readonly batch: number;
  readonly ranMs: number;
}

/** One device's present state; plain JSON. */
export interface DeviceSnapshot {
  readonly id: string;
  readonly kind: string;
  readonly status: DeviceStatus;
  readonly capacity: number;
  /** Keys of the models it has loaded. */
  readonly loaded: readonly string[];
  /** Whether its last heartbeat was answered. One that computes without a pause does not answer. */
  readonly responsive: boolean;
  /** What it runs; those of one batch have its number. */
  readonly running: readonly RunningSnapshot[];
  /** Memory for models, and what of it is taken or reserved, in bytes; absent where it is not known. */
  readonly memoryBytes?: number;
  readonly usedBytes?: number;
  /** What of `usedBytes` others take, as it was measured last; 0 where nothing measures. */
  readonly foreignBytes?: number;
  readonly failuresInARow: number;
  readonly lastFailure?: string;
}

/** A pool's present state; plain JSON. Times in milliseconds. */
export interface GpuPoolSnapshot {
  readonly kind: "gpu-pool";
  readonly name: string;
  readonly draining: boolean;
  readonly waiting: number;
  readonly running: number;
  /** Requests that can run at a time on the devices that are up. */
  readonly capacity: number;
  /** How long all that waits and runs takes, by measured service times; 0 while nothing has been measured. */
  readonly backlogMs: number;
  /** Requests that ran to their end, well or not. */
  readonly finished: number;
  /** How long whoever is refused now should wait, in milliseconds; see `PoolSaturatedError`. */
  readonly retryAfterMs: number;
  /** How requests have ended, also those that never ran. */
  readonly ended: RequestCounts;
  /** Keys of the models, `name@version`. */
  readonly models: readonly string[];
  readonly modelStates: readonly ModelSnapshot[];
  readonly devices: readonly DeviceSnapshot[];
}

export function deviceSnapshot(
  supervised: SupervisedDevice,
  describe: (id: number) => Omit<RunningSnapshot, "id">,
  memory: DeviceMemory = { usedBytes: 0, foreignBytes: 0 },
): DeviceSnapshot {
  const { device, kind, status, isResponsive, running, loaded, failuresInARow, lastFailure } = supervised;
  const { memoryBytes } = device;
  return {
    id: device.id,
    kind,
    status,
    capacity: device.capacity,
    loaded,
    responsive: isResponsive,
    running: [...running].map((id) => ({ id, ...describe(id) })),
    ...(memoryBytes === undefined ? {} : { memoryBytes, ...memory }),
    failuresInARow,
    ...(lastFailure === undefined ? {} : { lastFailure }),
  };
}
