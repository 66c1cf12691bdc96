// What a device runs models with: one contract for threads, processes and servers.

/** One request on its way through a worker. */
export interface Job {
  /** Unique within the pool. A cancel names it, so that it can never hit the next job. */
  readonly id: number;
  /** `name@version`. */
  readonly model: string;
  /** Structured-cloneable. Its `ArrayBuffer`s may be moved rather than copied. */
  readonly input: unknown;
}

/** What a worker tells the pool. Calls for a job that is not running any more are ignored. */
export interface WorkerEvents {
  progress(jobId: number, value: unknown): void;
  succeeded(jobId: number, output: unknown): void;
  /** The model failed; the worker is well. */
  failed(jobId: number, error: Error): void;
  /** The worker is gone, and with it every job it ran. */
  crashed(cause: Error): void;
}

/** A worker that is up. */
export interface Worker {
  run(job: Job): void;
  /** Asks a job to stop. The worker answers with `succeeded` or `failed` as for any other. */
  cancel(jobId: number, reason: string): void;
  /** Ends the worker at once, whatever it is doing. Resolves when nothing of it is left. */
  kill(): Promise<void>;
}

/** Makes the workers of a pool's devices. */
export interface WorkerAdapter {
  /** Such as `"worker-threads"`. */
  readonly kind: string;
  /** One per device. */
  readonly devices: readonly Device[];
  /** Starts the worker of a device; resolves once it takes jobs. */
  start(device: Device, events: WorkerEvents, signal: AbortSignal): Promise<Worker>;
}

/** A place where models run. */
export interface Device {
  readonly id: string;
  /** Requests it runs at a time. From 1. */
  readonly slots: number;
}
