// One device and its worker: started, watched, restarted after a crash, quarantined when it keeps crashing.
import type { Clock, Timer } from "@holdfast/core";
import { asError } from "@holdfast/core";
import type { Device, Job, Worker, WorkerAdapter, WorkerEvents } from "./worker.ts";

/** `quarantined`: it crashed too often in a row, and is only tried again at the longest interval. */
export type DeviceStatus = "starting" | "up" | "restarting" | "quarantined" | "closed";

/** How a device is treated when it fails. Times in milliseconds. */
export interface SupervisionSettings {
  readonly clock: Clock;
  readonly startTimeoutMs: number;
  readonly quarantineAfter: number;
  readonly restartBaseMs: number;
  readonly restartCapMs: number;
}

/** What the pool wants to know. */
export interface DeviceListener {
  up(device: Device): void;
  /** It is gone, and with it what ran on it. */
  down(device: Device, cause: Error): void;
  progress(jobId: number, value: unknown): void;
  succeeded(jobId: number, output: unknown): void;
  failed(jobId: number, error: Error): void;
}

export class SupervisedDevice {
  status: DeviceStatus = "starting";
  /** Crashes and failed starts since a job last succeeded. */
  failuresInARow = 0;
  lastFailure: string | undefined;
  #worker: Worker | undefined;
  #restart: Timer | undefined;
  #starting: AbortController | undefined;
  /** Grows with each worker, so that what an earlier one still says is ignored. */
  #generation = 0;

  constructor(
    readonly device: Device,
    private readonly adapter: WorkerAdapter,
    private readonly settings: SupervisionSettings,
    private readonly listener: DeviceListener,
  ) {}

  /** Starts the worker. Never rejects: one that does not start is tried again later. */
  async start(): Promise<void> {
    const { clock, startTimeoutMs } = this.settings;
    const generation = (this.#generation += 1);
    const starting = new AbortController();
    this.#starting = starting;
    const timer = clock.setTimer(startTimeoutMs, () =>
      starting.abort(new Error(`the worker did not start within ${startTimeoutMs} ms`)),
    );
    try {
      const worker = await this.adapter.start(this.device, this.#eventsOf(generation), starting.signal);
      if (this.status === "closed" || generation !== this.#generation) {
        await worker.kill();
        return;
      }
      this.#worker = worker;
      this.status = "up";
      this.listener.up(this.device);
    } catch (error) {
      if (generation === this.#generation) this.#failed(asError(error));
    } finally {
      timer.cancel();
    }
  }

  run(job: Job): void {
    this.#worker?.run(job);
  }

  cancel(jobId: number, reason: string): void {
    this.#worker?.cancel(jobId, reason);
  }

  /** Ends a worker that does not stop by itself, and starts another. Not counted against the device. */
  async replace(cause: Error): Promise<void> {
    const worker = this.#worker;
    if (worker === undefined) return;
    this.#takeDown(cause);
    this.status = "restarting";
    await worker.kill();
    if (this.#isClosed()) return;
    await this.start();
  }

  async close(): Promise<void> {
    const worker = this.#worker;
    this.status = "closed";
    this.#generation += 1;
    this.#worker = undefined;
    this.#restart?.cancel();
    this.#starting?.abort(new Error("the pool is closing"));
    await worker?.kill();
  }

  #eventsOf(generation: number): WorkerEvents {
    const current = (): boolean => generation === this.#generation;
    return {
      progress: (jobId, value) => {
        if (current()) this.listener.progress(jobId, value);
      },
      succeeded: (jobId, output) => {
        if (!current()) return;
        this.failuresInARow = 0;
        this.listener.succeeded(jobId, output);
      },
      failed: (jobId, error) => {
        if (current()) this.listener.failed(jobId, error);
      },
      crashed: (cause) => {
        if (current()) this.#failed(cause);
      },
    };
  }

  #failed(cause: Error): void {
    const { clock, quarantineAfter, restartBaseMs, restartCapMs } = this.settings;
    const worker = this.#worker;
    this.#takeDown(cause);
    void worker?.kill().catch(() => {});
    if (this.#isClosed()) return;
    this.failuresInARow += 1;
    this.lastFailure = cause.message.slice(0, 200);
    const isSick = this.failuresInARow >= quarantineAfter;
    this.status = isSick ? "quarantined" : "restarting";
    const delay = isSick
      ? restartCapMs
      : Math.min(restartCapMs, restartBaseMs * 2 ** (this.failuresInARow - 1));
    this.#restart = clock.setTimer(delay, () => void this.start());
  }

  #takeDown(cause: Error): void {
    const wasUp = this.#worker !== undefined;
    this.#worker = undefined;
    this.#generation += 1;
    if (wasUp) this.listener.down(this.device, cause);
  }

  #isClosed(): boolean {
    return this.status === "closed";
  }
}
