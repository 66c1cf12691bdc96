// One device and its worker: started, loaded, watched, restarted after a crash, quarantined when it keeps crashing.
import type { Clock, Timer } from "@holdfast/core";
import { asError, TimeoutError } from "@holdfast/core";
import type { Device, DeviceStatus } from "./device.ts";
import { WorkerFailedError } from "./errors.ts";
import type { Model, ModelRef } from "./model.ts";
import type { Canary } from "./health/canary.ts";
import { CanaryRun } from "./health/canary.ts";
import { classifyFailure } from "./health/classify-failure.ts";
import type { Batch, Worker, WorkerEvents, WorkerStarter } from "./worker.ts";

/** How a device is treated. Times in milliseconds. */
export interface SupervisionSettings {
  readonly clock: Clock;
  /** What a device has to answer before it comes back from quarantine. */
  readonly canary: Canary | undefined;
  readonly startTimeoutMs: number;
  readonly heartbeatMs: number;
  readonly quarantineAfter: number;
  readonly restartBaseMs: number;
  readonly restartCapMs: number;
}

/** What the pool wants to know. */
export interface DeviceListener {
  up(device: Device): void;
  /** It is gone, and with it what ran on it: the items of `lost`. */
  down(device: Device, cause: Error, lost: readonly number[]): void;
  /** Its status has changed. */
  changed(device: SupervisedDevice): void;
  progress(itemId: number, value: unknown): void;
  succeeded(itemId: number, output: unknown): void;
  /** @param isSick - Its device is about to go down: nothing must be started there. */
  failed(itemId: number, error: Error, isSick: boolean): void;
  /**
   * @param items - What of the batch had no answer yet.
   * @param cause - What was said, where an item by itself said it.
   */
  outOfMemory(device: Device, batchId: number, items: readonly number[], cause?: Error): void;
  /** So much of its memory was measured to be free. */
  memory(device: Device, freeBytes: number): void;
  /** A load or an unload that the pool asked for has ended. */
  moved(device: Device, model: Model, what: "loaded" | "load-failed" | "unloaded"): void;
}

export class SupervisedDevice {
  #status: DeviceStatus = "starting";
  /** Crashes and failed starts since an item last succeeded. */
  failuresInARow = 0;
  lastFailure: string | undefined;
  /** Whether the last heartbeat was answered. One that computes without a pause does not answer. */
  isResponsive = true;
  readonly #running = new Set<number>();
  readonly #loaded = new Set<Model>();
  /** Workers in a row that had to be ended because they did not stop. */
  #stuckInARow = 0;
  /** Items of the batches that run. */
  readonly #batches = new Map<number, readonly number[]>();
  /** Items that had too little memory, and what was said: they wait for the rest of their batch, to be run again. */
  readonly #tight = new Map<number, Error>();
  readonly #canary: CanaryRun;
  #worker: Worker | undefined;
  #restart: Timer | undefined;
  #heartbeat: Timer | undefined;
  /** Ends what is under way for the present worker: its start, its loads, its checks. */
  #life = new AbortController();
  #starting: Promise<void> = Promise.resolve();

  constructor(
    readonly device: Device,
    private readonly adapter: WorkerStarter,
    /** Loaded before the device is up: those of the moment. */
    private readonly preloaded: () => readonly Model[],
    private readonly settings: SupervisionSettings,
    private readonly listener: DeviceListener,
  ) {
    this.#canary = new CanaryRun(settings.clock, device.id);
  }

  /** The adapter's. */
  get kind(): string {
    return this.adapter.kind;
  }

  get status(): DeviceStatus {
    return this.#status;
  }

  get running(): ReadonlySet<number> {
    return this.#running;
  }

  /** Models that are ready to run. */
  get loaded(): readonly string[] {
    return [...this.#loaded].map(({ key }) => key);
  }

  /** Starts a worker and loads its models. Never rejects: one that does not start is tried again later. */
  start(): Promise<void> {
    this.#starting = this.#start();
    return this.#starting;
  }

  run(batch: Batch): void {
    // Its end is about to be told: what is sent here meanwhile goes elsewhere then.
    if (this.#worker === undefined) return;
    for (const { id } of batch.items) this.#running.add(id);
    this.#batches.set(
      batch.id,
      batch.items.map(({ id }) => id),
    );
    // Only those of which something still runs.
    for (const [id, items] of this.#batches)
      if (!items.some((item) => this.#running.has(item))) this.#batches.delete(id);
    this.#worker.run(batch);
  }

  cancel(itemId: number, reason: string): void {
    this.#worker?.cancel(itemId, reason);
  }

  /** Loads a model beside those it has. Tells the listener how it went, unless the worker is gone by then. */
  async load(model: Model): Promise<void> {
    const life = this.#life.signal;
    try {
      await this.#load(this.#worker!, model, life);
      if (!life.aborted) this.listener.moved(this.device, model, "loaded");
    } catch {
      if (!life.aborted) this.listener.moved(this.device, model, "load-failed");
    }
  }

  /** Frees what a model holds. A worker that cannot has failed: nobody knows what is free on it. */
  async unload(model: Model): Promise<void> {
    const life = this.#life.signal;
    this.#loaded.delete(model);
    try {
      await this.#within(model.loadTimeoutMs, `unload of ${model.key}`, life, () =>
        this.#worker!.unload(refOf(model)),
      );
      if (!life.aborted) this.listener.moved(this.device, model, "unloaded");
    } catch (error) {
      if (!life.aborted) this.#fail(asError(error));
    }
  }

  /**
   * Ends a worker that does not stop by itself, and starts another. Counted against the device only when that happens
   * again and again, with nothing that succeeds in between.
   */
  async replace(cause: Error): Promise<void> {
    this.#stuckInARow += 1;
    if (this.#stuckInARow >= this.settings.quarantineAfter) {
      if (this.#worker !== undefined) this.#fail(cause);
      return;
    }
    const worker = this.#end(cause);
    if (worker === undefined) return;
    this.#become("restarting");
    await worker.kill().catch(() => {});
    if (this.#status === "restarting") await this.start();
  }

  /** Ends the worker; one that is idle and well may free what its models hold before. Each step takes `withinMs`. */
  async close(withinMs: number): Promise<void> {
    if (this.#status === "closed") return;
    const isIdle = this.#status === "up" && this.#running.size === 0 && this.isResponsive;
    const loaded = [...this.#loaded];
    const worker = this.#end(new WorkerFailedError(this.device.id, "was closed with its pool"));
    this.#become("closed");
    // A start under way sees that its time is over, and ends what it has.
    await this.#atMost(withinMs, this.#starting);
    if (worker === undefined) return;
    if (isIdle) await this.#atMost(withinMs, Promise.all(loaded.map((model) => worker.unload(refOf(model)))));
    await this.#atMost(withinMs, worker.kill());
  }

  async #start(): Promise<void> {
    const life = new AbortController();
    this.#life = life;
    let worker: Worker | undefined;
    try {
      worker = await this.#startWorker(life);
      if (life.signal.aborted) {
        await worker.kill();
        return;
      }
      this.#worker = worker;
      for (const model of this.preloaded()) await this.#load(worker, model, life.signal);
      const { canary } = this.settings;
      // Somebody has to be the first to trust it again: not a caller.
      if (canary !== undefined && this.#status === "quarantined")
        await this.#canary.run(canary, worker, life.signal);
    } catch (error) {
      // Unless somebody else has ended it, and then knows better.
      if (!life.signal.aborted) this.#fail(asError(error));
      return;
    }
    if (life.signal.aborted) return;
    this.isResponsive = true;
    this.#become("up");
    this.#watch(worker, life.signal);
    this.listener.up(this.device);
  }

  async #startWorker(life: AbortController): Promise<Worker> {
    const stop = new AbortController();
    const onEnd = (): void => stop.abort(life.signal.reason);
    life.signal.addEventListener("abort", onEnd, { once: true });
    const { clock, startTimeoutMs } = this.settings;
    const timer = clock.setTimer(startTimeoutMs, () =>
      stop.abort(new TimeoutError(`start of ${this.device.id}`, startTimeoutMs)),
    );
    try {
      return await this.adapter.start(this.device, this.#eventsOf(life.signal), stop.signal);
    } finally {
      timer.cancel();
      life.signal.removeEventListener("abort", onEnd);
    }
  }

  async #load(worker: Worker, model: Model, life: AbortSignal): Promise<void> {
    await this.#within(model.loadTimeoutMs, `load of ${model.key}`, life, (signal) =>
      worker.load(refOf(model), signal),
    );
    if (!life.aborted) this.#loaded.add(model);
  }

  async #atMost(ms: number, work: Promise<unknown>): Promise<void> {
    const stop = new AbortController();
    const late = this.settings.clock.sleep(ms, stop.signal, { keepAlive: true });
    await Promise.race([work, late].map((one) => one.catch(() => {})));
    stop.abort();
  }

  /** Runs a step of a worker within a time, also when the worker does not mind its signal. */
  async #within(
    ms: number,
    what: string,
    life: AbortSignal,
    step: (signal: AbortSignal) => Promise<void>,
  ): Promise<void> {
    const stop = new AbortController();
    let onEnd = (): void => {};
    let timer: Timer | undefined;
    const given = new Promise<never>((_, reject) => {
      onEnd = () => reject(asError(life.reason));
      life.addEventListener("abort", onEnd, { once: true });
      timer = this.settings.clock.setTimer(ms, () => reject(new TimeoutError(what, ms)));
    });
    try {
      await Promise.race([step(stop.signal), given]);
    } catch (error) {
      stop.abort(error);
      throw error;
    } finally {
      timer?.cancel();
      life.removeEventListener("abort", onEnd);
    }
  }

  /** Asks for a sign of life, again and again. An idle worker that gives none has failed. */
  #watch(worker: Worker, life: AbortSignal): void {
    const { clock, heartbeatMs } = this.settings;
    this.#heartbeat = clock.setTimer(heartbeatMs, () => {
      const look = this.#within(heartbeatMs, `heartbeat of ${this.device.id}`, life, (signal) =>
        worker.check(signal),
      );
      look.then(
        () => {
          this.isResponsive = true;
          if (!life.aborted) this.#watch(worker, life);
        },
        (error: unknown) => {
          if (life.aborted) return;
          this.isResponsive = false;
          // With work to do it may just be busy: it is ended once that work is unwanted.
          if (this.#running.size > 0) this.#watch(worker, life);
          else this.#fail(new WorkerFailedError(this.device.id, "does not answer", { cause: error }));
        },
      );
    });
  }

  #eventsOf(life: AbortSignal): WorkerEvents {
    const ended = (itemId: number): boolean =>
      !life.aborted && !this.#tight.has(itemId) && this.#running.delete(itemId);
    return {
      progress: (itemId, value) => {
        if (!life.aborted) this.listener.progress(itemId, value);
      },
      succeeded: (itemId, output) => {
        if (this.#canary.succeeded(itemId, output) || !ended(itemId)) return;
        this.failuresInARow = 0;
        this.#stuckInARow = 0;
        this.listener.succeeded(itemId, output);
        this.#settleTight();
      },
      failed: (itemId, error) => {
        if (this.#canary.failed(itemId, error) || !ended(itemId)) return;
        const kind = classifyFailure(error);
        if (kind === "out-of-memory") {
          this.#tight.set(itemId, error);
          this.#running.add(itemId);
          this.#settleTight();
          return;
        }
        const isSick = kind === "restart" || kind === "quarantine";
        this.listener.failed(itemId, error, isSick);
        // It may have broken the worker, or be broken itself: then everything else would fail too.
        if (isSick) this.#fail(error, kind === "quarantine");
        else this.#settleTight();
      },
      outOfMemory: (batchId) => {
        if (!life.aborted) this.#outOfMemory(batchId);
      },
      memory: (freeBytes) => {
        const isUp = !life.aborted && this.#status === "up";
        if (isUp && Number.isFinite(freeBytes) && freeBytes >= 0)
          this.listener.memory(this.device, freeBytes);
      },
      crashed: (cause) => {
        if (!life.aborted) this.#fail(cause);
      },
    };
  }

  /** What of a batch has no answer yet found too little memory. */
  #outOfMemory(batchId: number, cause?: Error): void {
    const items = (this.#batches.get(batchId) ?? []).filter((id) => this.#running.delete(id));
    for (const id of items) this.#tight.delete(id);
    this.#batches.delete(batchId);
    this.listener.outOfMemory(this.device, batchId, items, cause);
  }

  /** Tells of batches of which only such items are left as had too little memory. */
  #settleTight(): void {
    if (this.#tight.size === 0) return;
    for (const [batch, items] of this.#batches) {
      const left = items.filter((id) => this.#running.has(id));
      if (left.length > 0 && left.every((id) => this.#tight.has(id)))
        this.#outOfMemory(batch, this.#tight.get(left[0]!));
    }
  }

  #fail(cause: Error, isHopeless = false): void {
    const { clock, quarantineAfter, restartBaseMs, restartCapMs } = this.settings;
    const worker = this.#end(cause);
    void worker?.kill().catch(() => {});
    this.failuresInARow = isHopeless
      ? Math.max(this.failuresInARow + 1, quarantineAfter)
      : this.failuresInARow + 1;
    this.lastFailure = cause.message.slice(0, 200);
    const isSick = this.failuresInARow >= quarantineAfter;
    this.#become(isSick ? "quarantined" : "restarting");
    const delay = restartBaseMs * 2 ** Math.min(30, this.failuresInARow - 1);
    this.#restart = clock.setTimer(isSick ? restartCapMs : Math.min(restartCapMs, delay), () => {
      // Tried from quarantine: it stays there until its worker is up again.
      void this.start();
    });
  }

  /** Nothing of the present worker counts from here on. Answers it, to be killed. */
  #end(cause: Error): Worker | undefined {
    const worker = this.#worker;
    const wasUp = this.#status === "up";
    this.#worker = undefined;
    this.#restart?.cancel();
    this.#heartbeat?.cancel();
    const lost = [...this.#running];
    this.#running.clear();
    this.#tight.clear();
    this.#batches.clear();
    this.#loaded.clear();
    this.#life.abort(cause);
    if (wasUp) this.listener.down(this.device, cause, lost);
    return worker;
  }

  #become(status: DeviceStatus): void {
    if (this.#status === status) return;
    this.#status = status;
    this.listener.changed(this);
  }
}

function refOf({ key, name, version }: Model): ModelRef {
  return { key, name, version };
}
