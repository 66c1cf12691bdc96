// A queue, a store and a clock that stands still: what most tests of this package start from.
import { randomUUID } from "node:crypto";
import type {
  Queue,
  QueueOptions,
  QueueStore,
  TaskHandler,
  Worker,
  WorkerCloseReport,
  WorkerOptions,
} from "@holdfast/queue";
import { memoryStore, queue, worker } from "@holdfast/queue";
import type { ManualClock } from "@holdfast/core/testing";
import { manualClock } from "@holdfast/core/testing";

export interface Bench {
  readonly clock: ManualClock;
  readonly store: QueueStore;
  readonly queue: Queue;
  /** Starts a worker. */
  readonly work: (handlers: readonly TaskHandler[], options?: WorkerOptions) => Worker;
  /** Lets everything happen that can happen without time. */
  readonly settle: () => Promise<void>;
}

export function bench(options: Partial<QueueOptions> & { readonly store?: QueueStore } = {}): Bench {
  const clock = (options.clock as ManualClock | undefined) ?? manualClock();
  const store = options.store ?? memoryStore({ clock });
  const made = queue({ name: "bench", ...options, clock, store });
  return {
    clock,
    store,
    queue: made,
    work: (handlers, workerOptions) => worker(made, handlers, { name: randomUUID(), ...workerOptions }),
    settle: () => clock.advance(0),
  };
}

/** A promise that a test settles when it likes. */
export function gate<T = void>(): {
  readonly promise: Promise<T>;
  readonly open: (value: T) => void;
  readonly fail: (error: unknown) => void;
} {
  let open!: (value: T) => void;
  let fail!: (error: unknown) => void;
  const promise = new Promise<T>((resolve, reject) => {
    open = resolve;
    fail = reject;
  });
  return { promise, open, fail };
}

/** What a promise rejects with. */
export async function rejection(promise: Promise<unknown>): Promise<Error & { readonly code?: string }> {
  try {
    await promise;
  } catch (error) {
    return error as Error;
  }
  throw new Error("it has not rejected");
}

/** Closes a worker, and lets its budget pass. */
export async function closed(working: Worker, clock: ManualClock): Promise<WorkerCloseReport> {
  const closing = working.close();
  await clock.advance("10s");
  return closing;
}
