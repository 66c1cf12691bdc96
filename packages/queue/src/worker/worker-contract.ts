// What a worker can be told, what it answers, and what it publishes.
import type { Duration, Random } from "@holdfast/core";
import type { Settlement } from "../store/store.ts";

export interface WorkerOptions {
  /** Handlers that run at a time, those that were left behind among them. @defaultValue 10 */
  readonly concurrency?: number;
  /**
   * How long a task stays ours after a sign of life, which is given three times as often. A handler that blocks the
   * event loop for longer loses its task. From 30 ms. @defaultValue "30s"
   */
  readonly lease?: Duration;
  /**
   * How long a handler that was told to stop may take before it is left behind: its task is settled without it, and it
   * keeps its place here until it has really ended. @defaultValue "5s"
   */
  readonly grace?: Duration;
  /** Unique among the workers of a queue. @defaultValue a random one */
  readonly name?: string;
  /** @defaultValue systemRandom */
  readonly random?: Random;
}

/** What a worker has done while it closed. */
export interface WorkerCloseReport {
  /** Tasks whose try ended by itself. */
  readonly finished: number;
  /** Tasks that were handed back, to be run by another worker. */
  readonly givenBack: number;
}

/** A worker at work. */
export interface Worker extends AsyncDisposable {
  readonly name: string;
  /** Tasks that are held: their handler runs, or the store has not taken their outcome yet. */
  readonly running: number;
  /**
   * Handlers that were left behind and have not ended. Each takes a place of `concurrency`; when they have taken all of
   * them, the worker stands still until one ends: then the process is to be restarted. Those that wait in a step for ever
   * do not count.
   */
  readonly leftBehind: number;
  readonly paused: boolean;
  /** Claims no more until {@link resume}; what runs goes on. */
  pause(): void;
  resume(): void;
  /**
   * Claims no more and settles within `within` (default 10 s) in any state, also when the store does not answer.
   * Handlers may end by themselves first; the last of the time, half of it or `grace` if that is less, is for
   * aborting their signals and handing their tasks back. What cannot be handed back is freed when its lease ends.
   */
  close(options?: { readonly within?: Duration }): Promise<WorkerCloseReport>;
}

/** Published as `holdfast:queue:worker_error` when the store fails a worker, which goes on and tries again. */
export interface WorkerErrorEvent {
  readonly queue: string;
  readonly worker: string;
  readonly doing: "claim" | "settle" | "renew" | "revoked";
  readonly error: Error;
}

/** Published as `holdfast:queue:left_behind` when a handler was left behind, and again when it has ended. */
export interface LeftBehindEvent {
  readonly queue: string;
  readonly worker: string;
  readonly task: string;
  readonly id: string;
  readonly attempt: number;
  readonly fence: number;
  /** Whether the handler has ended, or gone to wait in a step for ever. */
  readonly ended: boolean;
  /** Handlers of the worker that are left behind now; as many as `concurrency`, and it stands still. */
  readonly leftBehind: number;
  readonly concurrency: number;
}

/** Published as `holdfast:queue:run_ended` when a run of a task is over and the store has answered. */
export interface RunEndedEvent {
  readonly queue: string;
  readonly worker: string;
  readonly task: string;
  readonly id: string;
  readonly attempt: number;
  readonly fence: number;
  readonly durationMs: number;
  /** How the worker wanted to end it; `abandoned`: it had learnt before that it was no longer its to end. */
  readonly settlement: Settlement["kind"] | "abandoned";
  /** Whether the store took that; `false`: the lease was lost or the task cancelled, and nothing has changed. */
  readonly written: boolean;
}

/** The defaults of `worker`. */
export const WORKER_DEFAULTS: {
  readonly concurrency: number;
  readonly leaseMs: number;
  readonly graceMs: number;
} = { concurrency: 10, leaseMs: 30_000, graceMs: 5_000 };
