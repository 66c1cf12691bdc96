// The pool: takes requests, lets the scheduler decide, and drives the devices.
import type { Clock, Duration } from "@holdfast/core";
import { channel, ClosedError, notify, optionsOf } from "@holdfast/core";
import type {
  AutoscaleOptions,
  GpuPool,
  GpuPoolOptions,
  ModelLease,
  PoolCloseReport,
  RunModelOptions,
  WaitOptions,
} from "./contract.ts";
import { GPU_POOL_DEFAULTS } from "./defaults.ts";
import type { Device } from "./device.ts";
import { devicesOf, preloadedOn } from "./devices-of.ts";
import { UnknownModelError, WorkerCrashedError, WorkerFailedError } from "./errors.ts";
import type { FleetListener } from "./fleet.ts";
import { Fleet } from "./fleet.ts";
import type { Model, ModelOptions } from "./model.ts";
import type { GpuPoolSnapshot, ModelEvent } from "./observe.ts";
import { PoolLeases } from "./pool-leases.ts";
import { PoolModels } from "./pool-models.ts";
import type { PoolRequest } from "./pool-requests.ts";
import { isEmptied, PoolRequests, reasonText } from "./pool-requests.ts";
import { poolSettings, providerOf, scalingOf } from "./pool-settings.ts";
import { poolSnapshot } from "./pool-snapshot.ts";
import { RentedFleet } from "./rented-fleet.ts";
import type { EndingCommand } from "./request-ends.ts";
import { endOf } from "./request-ends.ts";
import { requestOf } from "./run-options.ts";
import type { SchedulerCommand, SchedulerEvent } from "./scheduler/contract.ts";
import { Scheduler } from "./scheduler/scheduler.ts";
import { unlessAborted } from "./unless-aborted.ts";
import { UpWaiters } from "./up-waiters.ts";
import { WakeTimer } from "./wake-timer.ts";
import type { WorkerStarter } from "./worker.ts";

/** What a pool that is over does not do any more. */
const BEGINS: ReadonlySet<SchedulerCommand<PoolRequest>["type"]> = new Set(["run", "load", "unload", "stop"]);

const modelMoved = /* @__PURE__ */ channel<ModelEvent>("gpu-pool", "model");

/**
 * A pool over the devices of one or more adapters. Workers start at once, in the background. A pool alone does not
 * keep a process alive; its requests do, and those who wait for it to be ready.
 *
 * @throws InvalidOptionError when an option is out of range, two devices have one ID, or models do not fit.
 */
export function gpuPool(options: GpuPoolOptions): GpuPool {
  return new Pool(options);
}

class Pool implements GpuPool {
  readonly #name: string;
  readonly #clock: Clock;
  readonly #cancelGraceMs: number;
  /** Longest each step of an end may take. */
  readonly #closeStepMs: number;
  readonly #models: PoolModels;
  readonly #leases: PoolLeases;
  readonly #scheduler: Scheduler<PoolRequest>;
  readonly #requests: PoolRequests;
  readonly #fleet: Fleet;
  readonly #rented: RentedFleet<PoolRequest> | undefined;
  #nextId = 1;
  #isDraining = false;
  #closing: Promise<PoolCloseReport> | undefined;
  /** What was left has been cut: nothing begins any more. */
  #isOver = false;
  readonly #wake: WakeTimer;
  readonly #upWaiters: UpWaiters;

  constructor(options: GpuPoolOptions) {
    const check = optionsOf("gpuPool");
    const rented = providerOf(options, check)?.device;
    this.#models = new PoolModels(options.models, (news) => this.#apply(news));
    const { name, clock, cancelGraceMs, scheduling, supervision } = poolSettings(
      options,
      this.#models.list,
      check,
    );
    this.#name = name;
    this.#clock = clock;
    this.#cancelGraceMs = cancelGraceMs;
    this.#scheduler = new Scheduler(scheduling);
    this.#requests = new PoolRequests(name, clock);
    this.#upWaiters = new UpWaiters(clock);
    this.#wake = new WakeTimer(clock, () => this.#apply({ type: "timer" }));
    this.#leases = new PoolLeases(clock, (event) => this.#apply(event));
    this.#closeStepMs = Math.max(1, cancelGraceMs);
    this.#fleet = new Fleet({ pool: name, supervision, closeStepMs: this.#closeStepMs }, this.#listener());
    const { workers, autoscale } = options;
    const devices = devicesOf(workers, check, rented);
    const places = devices.map(({ device }) => device);
    this.#models.fitInto(rented ? [...places, { ...rented, id: "the provider" }] : places, check);
    if (autoscale !== undefined)
      this.#rented = this.#rent(
        autoscale,
        devices.reduce((sum, { device }) => sum + device.capacity, 0),
      );
    for (const { device, adapter } of devices) this.#add(device, adapter);
    // Those that are to be there from the start.
    if (this.#rented !== undefined) this.#apply({ type: "timer" });
  }

  run(model: Model | string, input: unknown, options: RunModelOptions = {}): Promise<never> {
    return new Promise((resolve, reject) => {
      const found = this.#find(model);
      if (this.#isDraining) throw new ClosedError(`pool "${this.#name}"`);
      const answer = { resolve: resolve as (output: unknown) => void, reject };
      const request = requestOf(this.#nextId, found.key, input, options, this.#clock.monotonic(), answer);
      this.#nextId += 1;
      const { id } = request;
      this.#requests.accept(request, () => this.#apply({ type: "cancel", id }));
      this.#apply({ type: "request", request });
    });
  }

  async acquire(model: Model | string, { signal }: WaitOptions = {}): Promise<ModelLease> {
    const { key } = this.#find(model);
    if (this.#isDraining) throw new ClosedError(`pool "${this.#name}"`);
    signal?.throwIfAborted();
    return this.#leases.acquire(key, signal);
  }

  addModel(model: Model | ModelOptions): Model {
    return this.#models.add(model);
  }

  removeModel(key: string, { signal }: WaitOptions = {}): Promise<void> {
    return unlessAborted(() => this.#models.remove(key), signal);
  }

  unloadModel(key: string, { signal }: WaitOptions = {}): Promise<void> {
    return unlessAborted(() => this.#models.unload(key), signal);
  }

  setAlias(alias: string, key: string | undefined): void {
    this.#models.setAlias(alias, key);
  }

  drainDevice(id: string, { signal }: WaitOptions = {}): Promise<void> {
    const begin = (): void => this.#apply({ type: "device-drain", device: id });
    return unlessAborted(() => this.#fleet.drain(id, begin), signal);
  }

  snapshot(): GpuPoolSnapshot {
    return poolSnapshot(
      {
        name: this.#name,
        draining: this.#isDraining,
        models: this.#models.list.all,
        scheduler: this.#scheduler,
        requests: this.#requests,
        fleet: this.#fleet,
      },
      this.#clock.monotonic(),
    );
  }

  async ready({ signal }: WaitOptions = {}): Promise<void> {
    signal?.throwIfAborted();
    const needsNone = this.#fleet.size === 0 && this.#rented?.mayBeEmpty === true;
    if (this.#scheduler.capacity === 0 && !needsNone && this.#closing === undefined)
      await this.#upWaiters.wait(signal);
    if (this.#closing !== undefined) throw new ClosedError(`pool "${this.#name}"`);
  }

  drain({ signal }: WaitOptions = {}): Promise<void> {
    return unlessAborted(() => {
      this.#isDraining = true;
      return this.#requests.idle();
    }, signal);
  }

  close(options: { readonly within?: Duration } = {}): Promise<PoolCloseReport> {
    const { closeWithinMs } = GPU_POOL_DEFAULTS;
    this.#closing ??= this.#close(optionsOf("close").duration("within", options.within, {}, closeWithinMs));
    this.#upWaiters.tell();
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(withinMs: number): Promise<PoolCloseReport> {
    const before = this.#requests.finished;
    const until = this.#clock.monotonic() + withinMs;
    const timeUp = new AbortController();
    await Promise.race([
      this.drain(),
      this.#clock.sleep(withinMs, timeUp.signal, { keepAlive: true }).catch(() => {}),
    ]);
    timeUp.abort();
    const finished = this.#requests.finished - before;
    const rest = this.#requests.all();
    this.#isOver = true;
    this.#leases.close(new ClosedError(`pool "${this.#name}"`));
    for (const request of rest) {
      this.#requests.answer(request, "closed", () => request.reject(new ClosedError(`pool "${this.#name}"`)));
      this.#requests.forget(request);
      this.#apply({ type: "cancel", id: request.id });
    }
    this.#wake.cancel();
    await this.#fleet.close();
    this.#models.close();
    // Longer than a step, if there is time left: a machine that is not given back costs money.
    await this.#rented?.close(Math.max(this.#closeStepMs, until - this.#clock.monotonic()));
    return { finished, cut: rest.length };
  }

  #find(model: Model | string): Model {
    const key = typeof model === "string" ? model : model.key;
    const found = this.#models.list.find(key);
    if (found === undefined) throw new UnknownModelError(String(key).slice(0, 200));
    return found;
  }

  #add(device: Device, workers: WorkerStarter): void {
    this.#fleet.add(device, workers, () => preloadedOn(device, this.#models.list.preloaded));
  }

  #rent(options: AutoscaleOptions, otherSlots: number): RentedFleet<PoolRequest> {
    const { provider } = options;
    return new RentedFleet({
      pool: this.#name,
      clock: this.#clock,
      provider,
      scaling: scalingOf(options, otherSlots, optionsOf("gpuPool")),
      work: this.#scheduler,
      has: (id) => this.#fleet.has(id),
      add: (device) => this.#add(device, provider.workers),
      changed: () => this.#apply({ type: "timer" }),
      remove: async (id) => {
        await this.drainDevice(id);
        this.#fleet.forget(id);
      },
    });
  }

  /** What devices tell. */
  #listener(): FleetListener {
    return {
      up: (device) => {
        this.#apply({ type: "device-up", device, loaded: this.#fleet.get(device.id).loaded });
        this.#upWaiters.tell();
      },
      down: (device, cause, lost) => {
        this.#loseEmptied(lost, device.id, "device-down", cause);
        this.#apply({ type: "device-down", device: device.id }, cause);
      },
      progress: (id, value) => {
        const request = this.#requests.get(id);
        if (request !== undefined && !request.answered) notify(request.onProgress, value);
      },
      succeeded: (id, output) => this.#ended(id, "succeeded", (request) => request.resolve(output)),
      failed: (id, error, isSick) => {
        if (isSick) this.#failedWithDevice(id, error);
        else
          this.#ended(id, error instanceof WorkerCrashedError ? "crashed" : "failed", (request) =>
            request.reject(error),
          );
      },
      quarantined: (device) => this.#rented?.discard(device.id),
      outOfMemory: (device, batch, items, cause) => {
        this.#loseEmptied(items, device.id, "out-of-memory", cause);
        this.#apply({ type: "out-of-memory", batch }, cause);
      },
      memory: (device, freeBytes) => this.#apply({ type: "memory", device: device.id, freeBytes }),
      moved: (device, { key }, type) => {
        if (modelMoved.hasSubscribers)
          modelMoved.publish({ pool: this.#name, device: device.id, model: key, change: type });
        this.#apply({ type, device: device.id, model: key });
      },
    };
  }

  /** Tells the scheduler what has happened and does what it answers. */
  #apply(event: SchedulerEvent<PoolRequest>, cause?: Error): void {
    const commands = this.#scheduler.handle(event, this.#clock.monotonic());
    for (const command of commands) if (!this.#isOver || !BEGINS.has(command.type)) this.#do(command, cause);
    if (this.#isOver) return;
    this.#rented?.follow(event, commands, this.#clock.monotonic());
    this.#wake.setFor(Math.min(this.#scheduler.nextWake, this.#rented?.nextWake ?? Infinity));
  }

  #do(command: SchedulerCommand<PoolRequest>, cause: Error | undefined): void {
    switch (command.type) {
      case "run":
        this.#start(command);
        break;
      case "refuse":
      case "drop":
      case "lost":
        this.#endOtherwise(command, cause);
        this.#requests.forget(command.request);
        break;
      case "stop":
        this.#endOtherwise(command, cause);
        this.#stop(command.request, command.device);
        break;
      case "load":
        void this.#fleet.get(command.device).load(this.#models.list.get(command.model)!);
        break;
      case "unload":
        void this.#fleet.get(command.device).unload(this.#models.list.get(command.model)!);
        break;
      case "granted":
        this.#leases.granted(command.lease, command.device);
        break;
      case "denied":
        this.#leases.denied(command.lease);
        break;
      case "gone":
        this.#models.gone(command.model);
        break;
      case "revoked":
        this.#leases.revoked(command.lease, command.device);
        break;
    }
  }

  #start({ batch, device, model, requests }: SchedulerCommand<PoolRequest> & { readonly type: "run" }): void {
    const now = this.#clock.monotonic();
    for (const request of requests) {
      request.device = device;
      request.startedAt = now;
      request.batch = batch;
      request.mates = requests;
    }
    const { key, name, version } = this.#models.list.get(model)!;
    this.#fleet.get(device).run({
      id: batch,
      model: { key, name, version },
      items: requests.map(({ id, input, transfer }) => ({ id, input, ...(transfer ? { transfer } : {}) })),
    });
  }

  /** Asks a running request to stop, and ends its worker when it does not. */
  #stop(request: PoolRequest, deviceId: string): void {
    const device = this.#fleet.get(deviceId);
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

  #ended(
    id: number,
    outcome: "succeeded" | "failed" | "crashed",
    settle: (request: PoolRequest) => void,
  ): void {
    const request = this.#requests.get(id);
    if (request === undefined) return;
    this.#requests.finish(request, outcome, () => settle(request));
    this.#requests.forget(request);
    this.#apply({ type: "done", id });
    if (request.device !== undefined) this.#fleet.left(request.device);
  }

  /** Its device goes down at once: the request is answered, and its place is given back with the device. */
  #failedWithDevice(id: number, error: Error): void {
    const request = this.#requests.get(id);
    if (request === undefined) return;
    this.#requests.finish(request, "failed", () => request.reject(error));
    this.#apply({ type: "cancel", id });
  }

  /** Of what ran where a worker was lost, or memory too little: who has given its input away is not run without it. */
  #loseEmptied(
    ids: readonly number[],
    device: string,
    why: "device-down" | "out-of-memory",
    cause: Error | undefined,
  ): void {
    for (const id of ids) {
      const request = this.#requests.get(id);
      if (request === undefined || !isEmptied(request)) continue;
      this.#endOtherwise({ type: "lost", request, device, why }, cause);
      // Before the scheduler is told of the rest: what is not wanted any more is not tried again.
      this.#apply({ type: "cancel", id });
    }
  }

  #endOtherwise(command: EndingCommand, cause: Error | undefined): void {
    const { outcome, reason } = endOf(command, command.type === "drop" ? this.#fleet.failure : cause);
    this.#requests.answer(command.request, outcome, () => command.request.reject(reason));
  }
}
