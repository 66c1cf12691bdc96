// The pool: takes requests, lets the scheduler decide, and drives the devices.
import type { Clock, Duration, OptionReader, Timer } from "@holdfast/core";
import { ClosedError, optionsOf, systemClock } from "@holdfast/core";
import { GPU_POOL_DEFAULTS } from "./defaults.ts";
import {
  DeadlineExceededError,
  PoolSaturatedError,
  UnknownModelError,
  WorkerCrashedError,
} from "./errors.ts";
import type { ScheduledRequest } from "./scheduler.ts";
import { Scheduler } from "./scheduler.ts";
import type { DeviceStatus } from "./supervised-device.ts";
import { SupervisedDevice } from "./supervised-device.ts";
import type { Device, WorkerAdapter } from "./worker.ts";

/** A model that may be run, by name and version. */
export interface Model {
  readonly name: string;
  /** @defaultValue "1" */
  readonly version?: string;
}

export interface GpuPoolOptions {
  /** Appears in errors and snapshots. @defaultValue "gpu-pool" */
  readonly name?: string;
  /** Where models run. */
  readonly workers: WorkerAdapter;
  /** The models that may be asked for. */
  readonly models: readonly Model[];
  /** Most requests that wait; one more is refused with a {@link PoolSaturatedError}. @defaultValue 1_000 */
  readonly queueLimit?: number;
  /** How long a request that was told to stop may take, before its worker is ended. @defaultValue "500ms" */
  readonly cancelGrace?: Duration;
  /** How long a worker may take to start. @defaultValue "10s" */
  readonly startTimeout?: Duration;
  /** Crashes in a row after which a device is quarantined: tried again every 30 s only. @defaultValue 3 */
  readonly quarantineAfter?: number;
  /** @defaultValue systemClock */
  readonly clock?: Clock;
}

export interface RunModelOptions {
  /** Takes the request back, also while it runs: the worker stops computing. */
  readonly signal?: AbortSignal | undefined;
  /** How long the request may take from now, waiting included. @defaultValue unlimited */
  readonly deadline?: Duration | undefined;
  /** Higher goes first. Integer from -100 to 100. @defaultValue 0 */
  readonly priority?: number | undefined;
  /** Told what the model reports while it runs. What it throws changes nothing. */
  readonly onProgress?: ((value: unknown) => void) | undefined;
}

/** A pool's present state; plain JSON. */
export interface GpuPoolSnapshot {
  readonly kind: "gpu-pool";
  readonly name: string;
  readonly waiting: number;
  readonly running: number;
  /** Requests that can run at a time on the devices that are up. */
  readonly slots: number;
  /** How long the backlog takes, by the mean service time, in milliseconds. */
  readonly backlogMs: number;
  readonly devices: readonly {
    readonly id: string;
    readonly status: DeviceStatus;
    readonly failuresInARow: number;
    readonly lastFailure?: string;
  }[];
}

/** What ended how, when a pool was closed. */
export interface PoolCloseReport {
  /** Requests that ended by themselves. */
  readonly finished: number;
  /** Requests that were still waiting or running, and were rejected. */
  readonly cut: number;
}

/** Runs models on devices. */
export interface GpuPool extends AsyncDisposable {
  /**
   * Runs a model, `name` or `name@version`. Rejects with `signal.reason` when aborted, with a
   * {@link DeadlineExceededError} as soon as the deadline cannot be met, with a {@link PoolSaturatedError} at once
   * when too many wait, with a {@link WorkerCrashedError} when its worker dies, and with what the model threw.
   */
  run(model: string, input: unknown, options?: RunModelOptions): Promise<unknown>;
  snapshot(): GpuPoolSnapshot;
  /** Takes no more requests, lets those it has end for `within` (default 10 s), then ends the workers. */
  close(options?: { readonly within?: Duration }): Promise<PoolCloseReport>;
}

/**
 * A pool over the devices of an adapter. Workers start at once, in the background.
 *
 * @throws InvalidOptionError when an option is out of range.
 */
export function gpuPool(options: GpuPoolOptions): GpuPool {
  return new Pool(options);
}

interface Request extends ScheduledRequest {
  readonly input: unknown;
  readonly onProgress: ((value: unknown) => void) | undefined;
  readonly resolve: (output: unknown) => void;
  readonly reject: (error: unknown) => void;
  /** Set once it runs. */
  device?: string;
  startedAt: number;
  /** Told to stop: its caller has its answer already. */
  abandoned: boolean;
  deadlineTimer?: Timer;
  graceTimer?: Timer;
  leaveSignal?: () => void;
}

class Pool implements GpuPool {
  readonly #name: string;
  readonly #clock: Clock;
  readonly #queueLimit: number;
  readonly #cancelGraceMs: number;
  readonly #models: ReadonlyMap<string, string>;
  readonly #scheduler = new Scheduler<Request>();
  readonly #devices: ReadonlyMap<string, SupervisedDevice>;
  /** Requests that wait or run, also those that were told to stop and have not yet. */
  readonly #requests = new Map<number, Request>();
  #nextId = 1;
  #dropTimer: Timer | undefined;
  #closing: Promise<PoolCloseReport> | undefined;
  #onIdle: (() => void) | undefined;
  #finished = 0;

  constructor(options: GpuPoolOptions) {
    const check = optionsOf("gpuPool");
    const defaults = GPU_POOL_DEFAULTS;
    check.object("workers", options.workers);
    this.#name = check.string("name", options.name, 255, "gpu-pool");
    this.#clock = options.clock ?? systemClock;
    this.#queueLimit = check.integer("queueLimit", options.queueLimit, { min: 0 }, defaults.queueLimit);
    this.#cancelGraceMs = check.duration("cancelGrace", options.cancelGrace, {}, defaults.cancelGraceMs);
    this.#models = modelKeys(options.models, check);
    const settings = {
      clock: this.#clock,
      startTimeoutMs: check.duration(
        "startTimeout",
        options.startTimeout,
        { min: 1 },
        defaults.startTimeoutMs,
      ),
      quarantineAfter: check.integer(
        "quarantineAfter",
        options.quarantineAfter,
        { min: 1 },
        defaults.quarantineAfter,
      ),
      restartBaseMs: defaults.restartBaseMs,
      restartCapMs: defaults.restartCapMs,
    };
    const listener = {
      up: (device: Device) => this.#up(device),
      down: (device: Device, cause: Error) => this.#down(device, cause),
      progress: (id: number, value: unknown) => this.#progress(id, value),
      succeeded: (id: number, output: unknown) => this.#ended(id, (request) => request.resolve(output), true),
      failed: (id: number, error: Error) => this.#ended(id, (request) => request.reject(error), false),
    };
    this.#devices = new Map(
      options.workers.devices.map((device) => [
        device.id,
        new SupervisedDevice(device, options.workers, settings, listener),
      ]),
    );
    if (this.#devices.size === 0)
      check.refuse("workers.devices", options.workers.devices, "at least one device");
    for (const device of this.#devices.values()) void device.start();
  }

  run(model: string, input: unknown, options: RunModelOptions = {}): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const check = optionsOf("run");
      const key = this.#models.get(model);
      if (key === undefined) throw new UnknownModelError(String(model).slice(0, 200));
      if (this.#closing !== undefined) throw new ClosedError(`pool "${this.#name}"`);
      options.signal?.throwIfAborted();
      const now = this.#clock.monotonic();
      const deadline =
        options.deadline === undefined
          ? Infinity
          : now + check.duration("deadline", options.deadline, { min: 1 });
      const priority = check.integer("priority", options.priority, { min: -100, max: 100 }, 0);
      const isFree = this.#scheduler.waiting === 0 && this.#scheduler.running < this.#scheduler.slots;
      if (!isFree && this.#scheduler.waiting >= this.#queueLimit) throw this.#saturated();
      const request: Request = {
        id: this.#nextId,
        model: key,
        priority,
        deadline,
        input,
        onProgress: check.function("onProgress", options.onProgress),
        resolve,
        reject,
        startedAt: 0,
        abandoned: false,
      };
      this.#nextId += 1;
      this.#requests.set(request.id, request);
      this.#watch(request, options.signal);
      this.#scheduler.add(request);
      this.#decide();
    });
  }

  snapshot(): GpuPoolSnapshot {
    return {
      kind: "gpu-pool",
      name: this.#name,
      waiting: this.#scheduler.waiting,
      running: this.#scheduler.running,
      slots: this.#scheduler.slots,
      backlogMs: Math.round(this.#scheduler.backlogMs()),
      devices: [...this.#devices.values()].map(({ device, status, failuresInARow, lastFailure }) => ({
        id: device.id,
        status,
        failuresInARow,
        ...(lastFailure === undefined ? {} : { lastFailure }),
      })),
    };
  }

  close(options: { readonly within?: Duration } = {}): Promise<PoolCloseReport> {
    this.#closing ??= this.#close(optionsOf("close").duration("within", options.within, {}, 10_000));
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(withinMs: number): Promise<PoolCloseReport> {
    const before = this.#finished;
    if (this.#requests.size > 0) {
      await new Promise<void>((resolve) => {
        const timer = this.#clock.setTimer(withinMs, resolve, { keepAlive: true });
        this.#onIdle = () => {
          timer.cancel();
          resolve();
        };
      });
    }
    const finished = this.#finished - before;
    const rest = [...this.#requests.values()];
    for (const request of rest)
      this.#settle(request, () => request.reject(new ClosedError(`pool "${this.#name}"`)));
    this.#dropTimer?.cancel();
    await Promise.all([...this.#devices.values()].map((device) => device.close()));
    return { finished, cut: rest.filter(({ abandoned }) => !abandoned).length };
  }

  /** Follows the caller's signal and, for a running request, the deadline. */
  #watch(request: Request, signal: AbortSignal | undefined): void {
    if (request.deadline !== Infinity) {
      request.deadlineTimer = this.#clock.setTimer(
        Math.max(0, request.deadline - this.#clock.monotonic()),
        () =>
          this.#abandon(
            request,
            new DeadlineExceededError(request.model, request.device ? "running" : "waiting"),
          ),
      );
    }
    if (signal === undefined) return;
    const onAbort = (): void => this.#abandon(request, signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    request.leaveSignal = () => signal.removeEventListener("abort", onAbort);
  }

  /** Answers the caller at once; a running request is told to stop, and keeps its slot until it has. */
  #abandon(request: Request, reason: unknown): void {
    if (request.abandoned || !this.#requests.has(request.id)) return;
    if (request.device === undefined) {
      this.#scheduler.remove(request.id);
      this.#settle(request, () => request.reject(reason));
      this.#decide();
      return;
    }
    const device = this.#devices.get(request.device);
    request.abandoned = true;
    request.deadlineTimer?.cancel();
    request.leaveSignal?.();
    request.reject(reason);
    device?.cancel(request.id, reason instanceof Error ? reason.message : String(reason));
    request.graceTimer = this.#clock.setTimer(this.#cancelGraceMs, () => {
      // It does not listen, or computes without a pause: only ending its thread stops it.
      void device?.replace(new WorkerCrashedError(request.device ?? "", request.model));
    });
  }

  #decide(): void {
    const now = this.#clock.monotonic();
    const { start, drop } = this.#scheduler.decide(now);
    for (const request of drop)
      this.#settle(request, () => request.reject(new DeadlineExceededError(request.model, "waiting")));
    for (const { request, device } of start) {
      request.device = device;
      request.startedAt = now;
      this.#devices.get(device)?.run({ id: request.id, model: request.model, input: request.input });
    }
    this.#dropTimer?.cancel();
    const nextDrop = this.#scheduler.nextDrop();
    if (nextDrop !== Infinity)
      this.#dropTimer = this.#clock.setTimer(Math.max(1, nextDrop - now + 1), () => this.#decide());
  }

  #up(device: Device): void {
    this.#scheduler.deviceUp(device.id, device.slots, this.#clock.monotonic());
    this.#decide();
  }

  /** What ran there has failed, and nothing else. */
  #down(device: Device, cause: Error): void {
    this.#scheduler.deviceDown(device.id);
    for (const request of this.#requests.values()) {
      if (request.device !== device.id) continue;
      const error = new WorkerCrashedError(device.id, request.model, { cause });
      this.#settle(request, () => request.reject(error));
    }
  }

  #progress(id: number, value: unknown): void {
    const request = this.#requests.get(id);
    if (request === undefined || request.abandoned) return;
    try {
      request.onProgress?.(value);
    } catch {
      // An observer's own fault; the work goes on.
    }
  }

  #ended(id: number, answer: (request: Request) => void, ranToItsEnd: boolean): void {
    const request = this.#requests.get(id);
    if (request === undefined) return;
    const now = this.#clock.monotonic();
    const serviceMs = ranToItsEnd && !request.abandoned ? now - request.startedAt : undefined;
    this.#scheduler.ended(id, now, request.model, serviceMs);
    if (!request.abandoned) this.#finished += 1;
    this.#settle(request, () => answer(request));
    this.#decide();
  }

  #settle(request: Request, answer: () => void): void {
    this.#requests.delete(request.id);
    request.deadlineTimer?.cancel();
    request.graceTimer?.cancel();
    request.leaveSignal?.();
    if (!request.abandoned) answer();
    if (this.#requests.size === 0) this.#onIdle?.();
  }

  #saturated(): PoolSaturatedError {
    return new PoolSaturatedError(
      this.#scheduler.waiting,
      Math.max(1_000, Math.ceil(this.#scheduler.backlogMs())),
    );
  }
}

/** Every way a model may be asked for → `name@version`; the bare name means the version listed last. */
function modelKeys(models: readonly Model[], check: OptionReader): ReadonlyMap<string, string> {
  const keys = new Map<string, string>();
  for (const { name, version = "1" } of models) {
    const key = `${name}@${version}`;
    if (!/^[\w.-]{1,100}@[\w.-]{1,100}$/.test(key))
      check.refuse("models", key, "names and versions of letters, digits, dots, hyphens and underscores");
    if (keys.has(key)) check.refuse("models", key, "each model and version once");
    keys.set(key, key).set(name, key);
  }
  return keys;
}
