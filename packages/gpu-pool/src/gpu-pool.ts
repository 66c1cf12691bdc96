// The pool: takes requests, lets the scheduler decide, and drives the devices.
import type { Clock, Duration, Timer } from "@holdfast/core";
import { channel, ClosedError, MAX_DURATION_MS, notify, optionsOf } from "@holdfast/core";
import type { GpuPool, GpuPoolOptions, ModelLease, PoolCloseReport, RunModelOptions } from "./contract.ts";
import { GPU_POOL_DEFAULTS } from "./defaults.ts";
import type { Device } from "./device.ts";
import { devicesOf, preloadedOn } from "./devices-of.ts";
import {
  DeadlineExceededError,
  ModelUnavailableError,
  OutOfMemoryError,
  PoolSaturatedError,
  UnknownDeviceError,
  UnknownModelError,
  WorkerCrashedError,
  WorkerFailedError,
} from "./errors.ts";
import type { Model, ModelRegistry } from "./model.ts";
import { modelRegistry } from "./model.ts";
import type { DeviceEvent, GpuPoolSnapshot, ModelEvent, RequestEvent } from "./observe.ts";
import { deviceSnapshot } from "./observe.ts";
import { PoolLeases } from "./pool-leases.ts";
import { poolSettings } from "./pool-settings.ts";
import type { DropReason, ScheduledRequest, SchedulerCommand, SchedulerEvent } from "./scheduler/contract.ts";
import { Scheduler } from "./scheduler/scheduler.ts";
import { SupervisedDevice } from "./supervised-device.ts";

const deviceChanged = /* @__PURE__ */ channel<DeviceEvent>("gpu-pool", "device");
const modelMoved = /* @__PURE__ */ channel<ModelEvent>("gpu-pool", "model");
const requestEnded = /* @__PURE__ */ channel<RequestEvent>("gpu-pool", "request");

/**
 * A pool over the devices of one or more adapters. Workers start at once, in the background. A pool alone does not
 * keep a process alive; its requests do, and those who wait for it to be ready.
 *
 * @throws InvalidOptionError when an option is out of range, two devices have one ID, or models do not fit.
 */
export function gpuPool(options: GpuPoolOptions): GpuPool {
  return new Pool(options);
}

interface Request extends ScheduledRequest {
  readonly input: unknown;
  readonly transfer: readonly ArrayBuffer[] | undefined;
  readonly onProgress: ((value: unknown) => void) | undefined;
  readonly signal: AbortSignal | undefined;
  readonly resolve: (output: unknown) => void;
  readonly reject: (error: unknown) => void;
  readonly arrivedAt: number;
  startedAt: number | undefined;
  device: string | undefined;
  /** What runs in one batch, itself included. */
  mates: readonly Request[];
  /** Its caller has an answer; what still runs of it is on its way out. */
  answered: boolean;
  graceTimer?: Timer;
  leaveSignal?: () => void;
}

class Pool implements GpuPool {
  readonly #name: string;
  readonly #clock: Clock;
  readonly #cancelGraceMs: number;
  readonly #models: ModelRegistry;
  readonly #leases: PoolLeases;
  readonly #scheduler: Scheduler<Request>;
  readonly #devices: ReadonlyMap<string, SupervisedDevice>;
  /** Requests that wait or run, also those that were told to stop and have not yet. */
  readonly #requests = new Map<number, Request>();
  #nextId = 1;
  #finished = 0;
  #isDraining = false;
  #closing: Promise<PoolCloseReport> | undefined;
  #wake: { readonly at: number; readonly timer: Timer } | undefined;
  /** Keeps the process while there are requests. */
  #hold: Timer | undefined;
  #onIdle: (() => void)[] = [];
  /** Devices that are being taken out, and who waits for that. */
  readonly #leaving = new Map<string, (() => void)[]>();
  /** Those who wait for a device to come up, or for the end of the pool. */
  readonly #onUp = new Set<() => void>();

  constructor(options: GpuPoolOptions) {
    const check = optionsOf("gpuPool");
    this.#models = modelRegistry(options.models);
    const settings = poolSettings(options, this.#models, check);
    this.#name = settings.name;
    this.#clock = settings.clock;
    this.#cancelGraceMs = settings.cancelGraceMs;
    this.#scheduler = new Scheduler(settings.scheduling);
    this.#leases = new PoolLeases(settings.clock, (event) => this.#apply(event));
    const listener = {
      up: (device: Device) => {
        const supervised = this.#devices.get(device.id)!;
        if (this.#leaving.has(device.id)) {
          this.#leave(supervised);
          return;
        }
        this.#apply({ type: "device-up", device, loaded: supervised.loaded });
        for (const tell of this.#onUp) tell();
      },
      down: (device: Device, cause: Error) => this.#apply({ type: "device-down", device: device.id }, cause),
      changed: (device: SupervisedDevice) => this.#publishDevice(device),
      progress: (id: number, value: unknown) => this.#progress(id, value),
      succeeded: (id: number, output: unknown) =>
        this.#ended(id, "succeeded", (request) => request.resolve(output)),
      failed: (id: number, error: Error, isSick: boolean) => {
        if (isSick) this.#failedWithDevice(id, error);
        else this.#ended(id, "failed", (request) => request.reject(error));
      },
      outOfMemory: (batch: number) => this.#apply({ type: "out-of-memory", batch }),
      moved: (device: Device, { key }: Model, type: ModelEvent["change"]) => {
        if (modelMoved.hasSubscribers)
          modelMoved.publish({ pool: this.#name, device: device.id, model: key, change: type });
        this.#apply({ type, device: device.id, model: key });
      },
    };
    this.#devices = new Map(
      devicesOf(options.workers, this.#models, check).map(({ device, adapter }) => [
        device.id,
        new SupervisedDevice(
          device,
          adapter,
          preloadedOn(device, this.#models.models),
          settings.supervision,
          listener,
        ),
      ]),
    );
    for (const device of this.#devices.values()) void device.start();
  }

  run(model: Model | string, input: unknown, options: RunModelOptions = {}): Promise<never> {
    return new Promise((resolve, reject) => {
      const check = optionsOf("run");
      const found = this.#find(model);
      if (this.#isDraining) throw new ClosedError(`pool "${this.#name}"`);
      options.signal?.throwIfAborted();
      const now = this.#clock.monotonic();
      const within = check.duration("deadline", options.deadline, { min: 1 }, MAX_DURATION_MS);
      const request: Request = {
        id: this.#nextId,
        model: found.key,
        priority: check.integer("priority", options.priority, { min: -100, max: 100 }, 0),
        tenant: options.tenant === undefined ? "" : check.string("tenant", options.tenant, 255),
        size: check.integer("size", options.size, { min: 1 }, 1),
        affinity: options.affinity,
        deadline: options.deadline === undefined ? Infinity : now + within,
        input,
        transfer: options.transfer,
        onProgress: check.function("onProgress", options.onProgress),
        signal: options.signal,
        resolve: resolve as (output: unknown) => void,
        reject,
        arrivedAt: now,
        startedAt: undefined,
        device: undefined,
        mates: [],
        answered: false,
      };
      this.#nextId += 1;
      this.#accept(request);
      this.#apply({ type: "request", request });
    });
  }

  async acquire(
    model: Model | string,
    { signal }: { readonly signal?: AbortSignal | undefined } = {},
  ): Promise<ModelLease> {
    const { key } = this.#find(model);
    if (this.#isDraining) throw new ClosedError(`pool "${this.#name}"`);
    signal?.throwIfAborted();
    return this.#leases.acquire(key, signal);
  }

  async drainDevice(id: string): Promise<void> {
    const device = this.#devices.get(id);
    if (device === undefined) throw new UnknownDeviceError(id);
    if (device.status === "closed") return;
    await new Promise<void>((resolve) => {
      const waiting = this.#leaving.get(id);
      if (waiting !== undefined) {
        waiting.push(resolve);
        return;
      }
      this.#leaving.set(id, [resolve]);
      this.#apply({ type: "device-drain", device: id });
      this.#leave(device);
    });
  }

  snapshot(): GpuPoolSnapshot {
    const now = this.#clock.monotonic();
    return {
      kind: "gpu-pool",
      name: this.#name,
      draining: this.#isDraining,
      waiting: this.#scheduler.waiting,
      running: this.#scheduler.running,
      capacity: this.#scheduler.capacity,
      backlogMs: Math.round(this.#scheduler.backlogMs),
      finished: this.#finished,
      models: this.#models.models.map(({ key }) => key),
      devices: [...this.#devices.values()].map((device) =>
        deviceSnapshot(device, (id) => {
          const request = this.#requests.get(id);
          return { model: request?.model ?? "", ranMs: now - (request?.startedAt ?? now) };
        }),
      ),
    };
  }

  async ready({ signal }: { readonly signal?: AbortSignal | undefined } = {}): Promise<void> {
    signal?.throwIfAborted();
    if (this.#scheduler.capacity === 0 && this.#closing === undefined)
      await new Promise<void>((resolve, reject) => {
        const hold = this.#clock.setTimer(MAX_DURATION_MS, () => {}, { keepAlive: true });
        const leave = (): void => {
          hold.cancel();
          this.#onUp.delete(onUp);
          signal?.removeEventListener("abort", onAbort);
        };
        const onUp = (): void => {
          leave();
          resolve();
        };
        const onAbort = (): void => {
          leave();
          reject(signal?.reason as Error);
        };
        this.#onUp.add(onUp);
        signal?.addEventListener("abort", onAbort, { once: true });
      });
    if (this.#closing !== undefined) throw new ClosedError(`pool "${this.#name}"`);
  }

  async drain(): Promise<void> {
    this.#isDraining = true;
    if (this.#requests.size > 0) await new Promise<void>((resolve) => this.#onIdle.push(resolve));
  }

  close(options: { readonly within?: Duration } = {}): Promise<PoolCloseReport> {
    const { closeWithinMs } = GPU_POOL_DEFAULTS;
    this.#closing ??= this.#close(optionsOf("close").duration("within", options.within, {}, closeWithinMs));
    for (const tell of this.#onUp) tell();
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(withinMs: number): Promise<PoolCloseReport> {
    const before = this.#finished;
    const timeUp = new AbortController();
    await Promise.race([
      this.drain(),
      this.#clock.sleep(withinMs, timeUp.signal, { keepAlive: true }).catch(() => {}),
    ]);
    timeUp.abort();
    const finished = this.#finished - before;
    const rest = [...this.#requests.values()];
    this.#leases.close(new ClosedError(`pool "${this.#name}"`));
    for (const request of rest) {
      this.#answer(request, "closed", () => request.reject(new ClosedError(`pool "${this.#name}"`)));
      this.#forget(request);
    }
    this.#wake?.timer.cancel();
    const cutMs = Math.max(1, this.#cancelGraceMs);
    await Promise.all([...this.#devices.values()].map((device) => device.close(cutMs)));
    return { finished, cut: rest.length };
  }

  #find(model: Model | string): Model {
    const key = typeof model === "string" ? model : model.key;
    const found = this.#models.find(key);
    if (found === undefined) throw new UnknownModelError(String(key).slice(0, 200));
    return found;
  }

  /** Shuts a device down that is being taken out, once it runs nothing. */
  #leave(device: SupervisedDevice): void {
    if (device.running.size > 0) return;
    void device.close(Math.max(1, this.#cancelGraceMs)).then(() => {
      for (const tell of this.#leaving.get(device.device.id)?.splice(0) ?? []) tell();
    });
  }

  /** From here on until it is forgotten, a request is held and its caller's signal followed. */
  #accept(request: Request): void {
    this.#requests.set(request.id, request);
    this.#hold ??= this.#clock.setTimer(MAX_DURATION_MS, () => {}, { keepAlive: true });
    const { signal, id } = request;
    if (signal === undefined) return;
    const onAbort = (): void => this.#apply({ type: "cancel", id });
    signal.addEventListener("abort", onAbort, { once: true });
    request.leaveSignal = () => signal.removeEventListener("abort", onAbort);
  }

  /** Tells the scheduler what has happened and does what it answers. */
  #apply(event: SchedulerEvent<Request>, cause?: Error): void {
    const commands = this.#scheduler.handle(event, this.#clock.monotonic());
    for (const command of commands) this.#do(command, cause);
    this.#setWake();
  }

  #do(command: SchedulerCommand<Request>, cause: Error | undefined): void {
    switch (command.type) {
      case "run":
        this.#start(command);
        break;
      case "refuse": {
        const { request, waiting, retryAfterMs } = command;
        this.#answer(request, "refused", () => request.reject(new PoolSaturatedError(waiting, retryAfterMs)));
        this.#forget(request);
        break;
      }
      case "drop":
        this.#answerStopped(command.request, command.why, "waiting");
        this.#forget(command.request);
        break;
      case "stop":
        this.#answerStopped(command.request, command.why, "running");
        this.#stop(command.request, command.device);
        break;
      case "lost": {
        const { request, device, why } = command;
        const error =
          why === "out-of-memory"
            ? new OutOfMemoryError(device, request.model)
            : new WorkerCrashedError(device, request.model, cause ? { cause } : {});
        this.#answer(request, why === "out-of-memory" ? "failed" : "crashed", () => request.reject(error));
        this.#forget(request);
        break;
      }
      case "load":
        void this.#devices.get(command.device)!.load(this.#models.find(command.model)!);
        break;
      case "unload":
        void this.#devices.get(command.device)!.unload(this.#models.find(command.model)!);
        break;
      case "granted":
        this.#leases.granted(command.lease, command.device);
        break;
      case "revoked":
        this.#leases.revoked(command.lease, command.device);
        break;
    }
  }

  #start({ batch, device, model, requests }: SchedulerCommand<Request> & { readonly type: "run" }): void {
    const now = this.#clock.monotonic();
    for (const request of requests) {
      request.device = device;
      request.startedAt = now;
      request.mates = requests;
    }
    const { key, name, version } = this.#models.find(model)!;
    this.#devices.get(device)!.run({
      id: batch,
      model: { key, name, version },
      items: requests.map(({ id, input, transfer }) => ({ id, input, ...(transfer ? { transfer } : {}) })),
    });
  }

  /** Asks a running request to stop, and ends its worker when it does not. */
  #stop(request: Request, deviceId: string): void {
    const device = this.#devices.get(deviceId)!;
    device.cancel(request.id, reasonText(request.signal));
    // It may have stopped on the spot.
    if (!this.#requests.has(request.id)) return;
    const grace = device.isResponsive ? this.#cancelGraceMs : 0;
    request.graceTimer = this.#clock.setTimer(grace, () => {
      // Never at the cost of a neighbour that is still wanted: the batch ends with its place given up.
      if (request.mates.some(({ answered }) => !answered)) return;
      void device.replace(new WorkerFailedError(deviceId, "did not stop when it was told to"));
    });
  }

  #progress(id: number, value: unknown): void {
    const request = this.#requests.get(id);
    if (request !== undefined && !request.answered) notify(request.onProgress, value);
  }

  #ended(id: number, outcome: "succeeded" | "failed", settle: (request: Request) => void): void {
    const request = this.#requests.get(id);
    if (request === undefined) return;
    if (!request.answered) this.#finished += 1;
    this.#answer(request, outcome, () => settle(request));
    this.#forget(request);
    this.#apply({ type: "done", id });
    if (request.device !== undefined && this.#leaving.has(request.device))
      this.#leave(this.#devices.get(request.device)!);
  }

  /** Its device goes down at once: the request is answered, and its place is given back with the device. */
  #failedWithDevice(id: number, error: Error): void {
    const request = this.#requests.get(id);
    if (request === undefined) return;
    if (!request.answered) this.#finished += 1;
    this.#answer(request, "failed", () => request.reject(error));
    this.#apply({ type: "cancel", id });
  }

  /** To a request that was taken back or is too late. */
  #answerStopped(request: Request, why: DropReason, phase: "waiting" | "running"): void {
    const error = (): unknown => {
      if (why === "cancelled") return request.signal?.reason;
      return why === "deadline"
        ? new DeadlineExceededError(request.model, phase)
        : new ModelUnavailableError(request.model);
    };
    this.#answer(request, why === "unloadable" ? "failed" : why, () => request.reject(error()));
  }

  /** Gives the caller its answer, the first time. */
  #answer(request: Request, outcome: RequestEvent["outcome"], settle: () => void): void {
    if (request.answered) return;
    request.answered = true;
    request.leaveSignal?.();
    settle();
    if (requestEnded.hasSubscribers) this.#publishRequest(request, outcome);
  }

  /** Nothing of the request waits or runs any more. */
  #forget(request: Request): void {
    this.#requests.delete(request.id);
    request.graceTimer?.cancel();
    if (this.#requests.size > 0) return;
    this.#hold?.cancel();
    this.#hold = undefined;
    for (const tell of this.#onIdle.splice(0)) tell();
  }

  #setWake(): void {
    const at = this.#scheduler.nextWake;
    if (this.#wake?.at === at) return;
    this.#wake?.timer.cancel();
    this.#wake = undefined;
    if (at === Infinity) return;
    const timer = this.#clock.setTimer(Math.max(0, at - this.#clock.monotonic()), () => {
      this.#wake = undefined;
      this.#apply({ type: "timer" });
    });
    this.#wake = { at, timer };
  }

  #publishDevice({ device, status, failuresInARow, lastFailure }: SupervisedDevice): void {
    if (!deviceChanged.hasSubscribers) return;
    deviceChanged.publish({
      pool: this.#name,
      device: device.id,
      status,
      failuresInARow,
      ...(lastFailure === undefined ? {} : { lastFailure }),
    });
  }

  #publishRequest(request: Request, outcome: RequestEvent["outcome"]): void {
    const now = this.#clock.monotonic();
    const startedAt = request.startedAt ?? now;
    requestEnded.publish({
      pool: this.#name,
      model: request.model,
      outcome,
      waitedMs: startedAt - request.arrivedAt,
      ranMs: now - startedAt,
      ...(request.device === undefined ? {} : { device: request.device }),
    });
  }
}

function reasonText(signal: AbortSignal | undefined): string {
  const reason: unknown = signal?.aborted === true ? signal.reason : "the deadline has passed";
  return reason instanceof Error ? reason.message : String(reason);
}
