// What a device runs models with: one contract for threads, processes and servers.
import type { Device } from "./device.ts";
import type { ModelRef } from "./model.ts";

/** One request on its way through a worker. */
export interface BatchItem {
  /** Unique within the pool, and never used again: a cancel by it can never hit another. */
  readonly id: number;
  readonly input: unknown;
  /** Buffers of the input that are to be moved rather than copied. */
  readonly transfer?: readonly ArrayBuffer[];
}

/** Requests for one model that run together. Each item has an answer of its own. */
export interface Batch {
  readonly id: number;
  readonly model: ModelRef;
  /** At least one. */
  readonly items: readonly BatchItem[];
}

/**
 * What a worker tells the pool. For each item it is given it calls `succeeded` or `failed` once, also when the item
 * was cancelled, unless it has `crashed`. Calls for an item that is not running any more are ignored.
 */
export interface WorkerEvents {
  progress(itemId: number, value: unknown): void;
  succeeded(itemId: number, output: unknown): void;
  /** The item failed; the worker is well. */
  failed(itemId: number, error: Error): void;
  /** A batch did not fit into the device's memory: nothing of it has run, and none of its items is answered. */
  outOfMemory(batchId: number): void;
  /**
   * So much of the device's memory is free: measured after the last load or unload that was answered. What is missing
   * beside the models that the pool has there is taken by others, until it is told again. Never told by those that do not
   * measure.
   */
  memory(freeBytes: number): void;
  /** The worker is gone, and with it everything it ran. Nothing is called after this. */
  crashed(cause: Error): void;
}

/** A worker that is up. No method throws; what goes wrong is a rejection or an event. */
export interface Worker {
  /** Makes a model ready to run. Rejects when it cannot, or with the signal's reason. */
  load(model: ModelRef, signal: AbortSignal): Promise<void>;
  /** Frees what a loaded model holds. */
  unload(model: ModelRef): Promise<void>;
  /** Runs a batch of a loaded model. */
  run(batch: Batch): void;
  /** Asks an item to stop; does nothing when it has ended. */
  cancel(itemId: number, reason: string): void;
  /** A sign of life: resolves when the worker answers. */
  check(signal: AbortSignal): Promise<void>;
  /** Ends the worker at once, whatever it is doing. Resolves when nothing of it is left. */
  kill(): Promise<void>;
}

/** Starts workers on devices of a kind. */
export interface WorkerStarter {
  /** Such as `"worker-threads"`. */
  readonly kind: string;
  /** Starts the worker of a device; resolves once it can load models. Rejects with the signal's reason when it aborts. */
  start(device: Device, events: WorkerEvents, signal: AbortSignal): Promise<Worker>;
}

/** Makes the workers of a pool's devices. */
export interface WorkerAdapter extends WorkerStarter {
  /** At least one. Each has one worker at a time. */
  readonly devices: readonly Device[];
}

/** Where devices come from that are not always there: a cloud, a cluster, processes. */
export interface DeviceProvider {
  /** Runs models on them. */
  readonly workers: WorkerStarter;
  /** What each is like. */
  readonly device: Omit<Device, "id">;
  /**
   * Makes one more, with an ID that was never used. Rejects when it cannot, or with the signal's reason. One that cannot be
   * a device, such as with the ID of another, is refused and given back.
   */
  start(signal: AbortSignal): Promise<Device>;
  /** Gives back what `start` has brought. Its worker has been ended; nothing is asked of it any more. */
  stop(device: Device): Promise<void>;
}
