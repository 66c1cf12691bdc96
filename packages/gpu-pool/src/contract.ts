// What a pool takes, and what it promises.
import type { Clock, Duration } from "@holdfast/core";
import type { Model, ModelOptions } from "./model.ts";
import type { GpuPoolSnapshot } from "./observe.ts";
import type { ScaleCost } from "./scheduler/capacity-need.ts";
import type { DeviceProvider, WorkerAdapter } from "./worker.ts";

export interface GpuPoolOptions {
  /** Appears in errors, events and snapshots. @defaultValue "gpu-pool" */
  readonly name?: string;
  /**
   * Where models run: the devices of one adapter, or of several; those listed first are preferred. A device loads as
   * many models as fit into its memory when it starts, in the order they are listed, and others when they are asked for.
   */
  readonly workers: WorkerAdapter | readonly WorkerAdapter[];
  /** Devices that come and go with the work, beside those of `workers`, which may then be an empty list. */
  readonly autoscale?: AutoscaleOptions;
  /** The models that may be asked for. Each must fit into a device. @defaultValue those that are added later */
  readonly models?: readonly (Model | ModelOptions)[];
  /** Most requests that wait; one more is refused with a `PoolSaturatedError`. @defaultValue 1_000 */
  readonly queueLimit?: number;
  /** How long a request that was told to stop may take before its worker is ended. @defaultValue "500ms" */
  readonly cancelGrace?: Duration;
  /** How long a worker may take to start. @defaultValue "10s" */
  readonly startTimeout?: Duration;
  /**
   * How often a worker is asked for a sign of life, and how long it may take to give one. One that does not answer
   * gets no grace when its request is cancelled; one that is idle is replaced. @defaultValue "2s"
   */
  readonly heartbeat?: Duration;
  /** Failures in a row after which a device is quarantined: tried every 30 s only. @defaultValue 3 */
  readonly quarantineAfter?: number;
  /**
   * What a device has to answer before it comes back from quarantine.
   * @defaultValue that its worker starts and loads its models
   */
  readonly canary?: CanaryOptions;
  /**
   * A request that has waited this long goes like one of the next higher priority, and before those of its own that
   * came later: nothing waits for ever. @defaultValue "30s"
   */
  readonly aging?: Duration;
  /**
   * The share of the device time that a tenant is due, relative to others. From 0.000001 to 1_000_000. Asked when a
   * tenant comes; if it throws, or answers anything else, the request is rejected with an `InvalidOptionError`.
   * @defaultValue 1 for each
   */
  readonly tenantWeight?: (tenant: string) => number;
  /** Most of the queue that one tenant may fill. Above 0, at most 1. @defaultValue 1 */
  readonly tenantShare?: number;
  /** @defaultValue systemClock */
  readonly clock?: Clock;
}

/** When devices are added and taken away. */
export interface AutoscaleOptions {
  readonly provider: DeviceProvider;
  /** Fewest devices of the provider. Integer from 0; then the first request starts one. @defaultValue 0 */
  readonly min?: number;
  /** Most devices of the provider. Integer from 1. */
  readonly max: number;
  /** The share of their time that devices are to be used. Above 0, at most 1. @defaultValue 0.75 */
  readonly targetUse?: number;
  /** How long a device takes from its order to its first batch, until that was measured. @defaultValue "30s" */
  readonly boot?: Duration;
  /** Time over which the load is averaged. @defaultValue "10s" */
  readonly window?: Duration;
  /** Nothing is taken away for this long after something was added. @defaultValue "60s" */
  readonly cooldown?: Duration;
  /** How long fewer devices must have been enough before one is taken away. @defaultValue "60s" */
  readonly downAfter?: Duration;
  /** How long there must have been nothing to do before the last goes. @defaultValue "5m" */
  readonly zeroAfter?: Duration;
  /** What devices cost and answers are worth. @defaultValue no matter */
  readonly cost?: ScaleCost;
}

/** A request with a known good answer. */
export interface CanaryOptions {
  /** By `name@version` or name. It has to be loaded at the start. */
  readonly model: string;
  readonly input: unknown;
  /** @defaultValue any answer is good */
  readonly accepts?: (output: unknown) => boolean;
  /** @defaultValue "10s" */
  readonly timeout?: Duration;
}

/** A hold on a loaded model: it stays where it is until the lease is released. */
export interface ModelLease extends Disposable {
  readonly model: string;
  readonly device: string;
  /** Aborts when the device goes down: the model is not there any more. */
  readonly lost: AbortSignal;
  /** Gives it back. Again, or after it was lost, it does nothing. */
  release(): void;
}

export interface RunModelOptions {
  /** Takes the request back, also while it runs: the worker stops computing. */
  readonly signal?: AbortSignal | undefined;
  /** How long the request may take from now, waiting included. @defaultValue unlimited */
  readonly deadline?: Duration | undefined;
  /** Higher goes first. Integer from -100 to 100. @defaultValue 0 */
  readonly priority?: number | undefined;
  /** Whose device time it uses: tenants share it fairly, by the milliseconds they use. @defaultValue "" */
  readonly tenant?: string | undefined;
  /** How many units of a batch it takes, such as pictures. Integer from 1. @defaultValue 1 */
  readonly size?: number | undefined;
  /** Requests with the same key, of at most 1,000 characters, prefer the device that served the last of them. */
  readonly affinity?: string | undefined;
  /** Told what the model reports while it runs. What it throws changes nothing. */
  readonly onProgress?: ((value: unknown) => void) | undefined;
  /**
   * Buffers of the input to move to the worker instead of copying them: they are empty here afterwards. A request whose
   * input has gone with its worker is not tried again when that dies or has too little memory: it fails with the
   * `WorkerCrashedError` or the `OutOfMemoryError` of the first time.
   */
  readonly transfer?: readonly ArrayBuffer[] | undefined;
}

/** What ended how, when a pool was closed. */
export interface PoolCloseReport {
  /** Requests that ended by themselves. */
  readonly finished: number;
  /** Requests that were still waiting or running, and were rejected. */
  readonly cut: number;
}

/** What ends a wait early. */
export interface WaitOptions {
  readonly signal?: AbortSignal | undefined;
}

/** Runs models on devices. */
export interface GpuPool extends AsyncDisposable {
  /**
   * Runs a model and answers its output. Rejects with `signal.reason` when aborted, with a
   * `DeadlineExceededError` as soon as the deadline cannot be met, with a `PoolSaturatedError` at once
   * when too many wait, with a `WorkerCrashedError` when its worker dies, and with a `ModelFailedError` when
   * the model throws.
   */
  run<Input, Output>(
    model: Model<Input, Output>,
    input: Input,
    options?: RunModelOptions,
  ): Promise<Awaited<Output>>;
  /** By `name@version`, by alias, or by name alone: then the version listed last. */
  run(model: string, input: unknown, options?: RunModelOptions): Promise<unknown>;
  /**
   * Waits until a device has the model loaded, and keeps it there. Rejects with the signal's reason, with an
   * `UnknownModelError`, with a `ModelUnavailableError` when no device could load it, or with a `ClosedError`.
   */
  acquire(model: Model | string, options?: WaitOptions): Promise<ModelLease>;
  /**
   * One more model may be asked for; it is loaded when it is. `followRegistry` does this by a registry.
   *
   * @throws InvalidOptionError when it is there already, or still on its way out, or fits into no device.
   */
  addModel(model: Model | ModelOptions): Model;
  /**
   * Takes no more requests for a model, by whatever name. Resolves once those it has have ended, all leases on it were
   * released, and no device holds it. Rejects with an `UnknownModelError`, or with the signal's reason: then the model
   * leaves all the same.
   */
  removeModel(key: string, options?: WaitOptions): Promise<void>;
  /**
   * Frees a model's memory on all devices as soon as nothing refers to it: no request that waits or runs, no lease.
   * Resolves then. It may still be asked for, and is loaded again. Rejects with an `UnknownModelError`, or with the
   * signal's reason: then it is freed all the same.
   */
  unloadModel(key: string, options?: WaitOptions): Promise<void>;
  /**
   * From now on a name such as `llama@stable` means this model, `undefined` for none. Requests that were taken before
   * keep the model that it meant then.
   *
   * @throws UnknownModelError; InvalidOptionError when the name is not `name@label`, or is that of a model.
   */
  setAlias(alias: string, key: string | undefined): void;
  /**
   * Takes a device out: it gets no more requests, ends those it has, and is then shut down. Resolves when it is.
   * Rejects with an `UnknownDeviceError`, or with the signal's reason: then the device leaves all the same.
   */
  drainDevice(id: string, options?: WaitOptions): Promise<void>;
  snapshot(): GpuPoolSnapshot;
  /**
   * Resolves once a device is up: at once if one is, or if there need not be one before the first request. A device that
   * does not start is tried again, so give a signal. Keeps the process alive meanwhile. Rejects with the signal's reason,
   * or with a `ClosedError` when the pool is closed.
   */
  ready(options?: WaitOptions): Promise<void>;
  /**
   * Takes no more requests; resolves once those it has have ended. Rejects with the signal's reason: then it takes none
   * all the same.
   */
  drain(options?: WaitOptions): Promise<void>;
  /**
   * Takes no more requests, lets those it has end for `within` (default 10 s), then cuts the rest, ends the workers and
   * gives rented devices back. Each step of that takes at most `cancelGrace`, whatever workers and providers do.
   */
  close(options?: { readonly within?: Duration }): Promise<PoolCloseReport>;
}
