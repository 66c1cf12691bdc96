// The store contract: what a queue asks of memory, Redis or Postgres. Every verb is atomic in the store.
//
// Words. *Claim*: a worker takes ready tasks and receives a lease on each. *Fence*: the fencing token of a lease,
// higher than that of any lease on this ID before; never the attempt. *Settle*: whoever holds a lease ends it.
// *Live*: scheduled, ready or running. *Ended*: completed, failed or cancelled.
//
// Order. Ready tasks are claimed by priority, the highest first, then in the order they were added, whatever has
// happened to them since. Tasks of one group run one at a time, in the order they were added: one that is delayed or
// waits for another try holds up those behind it.
import type { Payload } from "./payload.ts";
import type { TaskEvent, TaskFailure, TaskState, TaskStatus } from "./task-status.ts";

/** What a store can do, so that callers and tests know what to expect. */
export interface QueueStoreTraits {
  /** Whether other processes see the same tasks. */
  readonly shared: boolean;
  /** Whose clock judges delays, leases and retention: the process's monotonic clock, or the server's. */
  readonly clock: "caller" | "server";
  /** Whether an acknowledged task survives the end of this process. */
  readonly durable: boolean;
}

/** A task to be added. Times in milliseconds from now. */
export interface NewTask {
  readonly id: string;
  readonly name: string;
  readonly input: Payload;
  /** Not to be claimed before. */
  readonly delayMs: number;
  /** Higher goes first. */
  readonly priority: number;
  /** Tries that may fail, in all. From 1. */
  readonly maxAttempts: number;
  /** How often its lease may be lost; once more, and it fails. */
  readonly maxLeaseLosses: number;
  /** At most one live task has this key. */
  readonly dedupKey?: string;
  /** Tasks of a group run one at a time, in order. */
  readonly group?: string;
  /** How long it is kept once it is completed or cancelled. */
  readonly keepMs: number;
  /** How long it is kept once it has failed. */
  readonly keepFailedMs: number;
}

/** What became of a new task. `duplicate`: a live task has its key, and that one's `id`. `exists`: its ID is taken. */
export interface EnqueueOutcome {
  readonly outcome: "enqueued" | "duplicate" | "exists";
  readonly id: string;
}

/** Outcomes in the order of the tasks; or the queue had no room for all of them, and none was added. */
export type EnqueueResult =
  | { readonly full: false; readonly outcomes: readonly EnqueueOutcome[] }
  | { readonly full: true; readonly live: number };

/** Who asks for work, and for how much. */
export interface ClaimRequest {
  /** Unique among the workers of the queue. */
  readonly worker: string;
  readonly max: number;
  readonly leaseMs: number;
}

/** A lease, named by what proves that one holds it. */
export interface LeaseRef {
  readonly id: string;
  readonly fence: number;
}

/** A task and the lease on it. */
export interface ClaimedTask extends LeaseRef {
  readonly name: string;
  readonly input: Payload;
  /** Tries that have failed, plus 1. */
  readonly attempt: number;
  readonly maxAttempts: number;
  /** What the worker that made the try before wants to know; 0 at first. */
  readonly backoffState: number;
}

/** How the holder of a lease ends it. */
export type Settlement = LeaseRef &
  (
    | { readonly kind: "complete"; readonly result: Payload }
    /** The try has failed. Without `retry`, or when it was the last one, so has the task. */
    | { readonly kind: "fail"; readonly error: TaskFailure; readonly retry?: RetryPlan }
    /** Given back unfinished: ready again at once in its old place, and no try is used up. */
    | { readonly kind: "release" }
  );

/** When to try again, as the worker's backoff decided. */
export interface RetryPlan {
  readonly delayMs: number;
  readonly backoffState: number;
}

/**
 * Whether a write under a lease was made. If not, the lease is not held and nothing has changed. A lease whose task
 * was cancelled tells so until the task is forgotten.
 */
export type WriteOutcome =
  | { readonly written: true }
  | { readonly written: false; readonly cause: "lease_lost" }
  | { readonly written: false; readonly cause: "cancelled"; readonly reason: string };

/** What a worker says about a task while it runs it. */
export type TaskReport =
  { readonly kind: "progress"; readonly value: unknown } | { readonly kind: "log"; readonly line: string };

/** Reports about one task, in order. */
export interface ReportRequest extends LeaseRef {
  readonly reports: readonly TaskReport[];
}

/** Events of a task behind a point, oldest first. */
export interface EventPage {
  readonly events: readonly TaskEvent[];
  /** Whether nothing more will come: the task has ended and these are its last, or it had none after that point. */
  readonly ended: boolean;
}

/** A lease that a cancel has taken away, and why. */
export interface RevokedLease extends LeaseRef {
  readonly reason: string;
}

/** What became of a wish to cancel. `ended`: it had ended before. */
export type CancelOutcome = "cancelled" | "ended" | "unknown";

/** What became of a wish to redrive. `duplicate`: another live task has its dedup key. */
export type RedriveOutcome = "redriven" | "not_failed" | "duplicate" | "unknown";

/** Tasks by state. */
export type QueueStats = Readonly<Record<TaskState, number>>;

/**
 * Stores tasks. The suite in `@holdfast/queue/testing` says in tests what this says in words. Lists are answered in
 * the order they were given. A call that rejects may or may not have had its effect.
 */
export interface QueueStore {
  readonly traits: QueueStoreTraits;

  /**
   * Adds all tasks, in order, or none if that would make more than `limit` live ones. Those that are there already
   * take no room: they never make it full.
   */
  enqueue(
    queue: string,
    tasks: readonly NewTask[],
    options: { readonly limit: number },
  ): Promise<EnqueueResult>;

  /** Leases up to `max` ready tasks to a worker. No task is leased twice at a time. */
  claim(queue: string, request: ClaimRequest): Promise<readonly ClaimedTask[]>;

  /** Ends leases and, in the same step, claims more. */
  settle(
    queue: string,
    settlements: readonly Settlement[],
    claim?: ClaimRequest,
  ): Promise<{ readonly outcomes: readonly WriteOutcome[]; readonly claimed: readonly ClaimedTask[] }>;

  /** Makes leases last `leaseMs` from now. */
  renew(queue: string, leases: readonly LeaseRef[], leaseMs: number): Promise<readonly WriteOutcome[]>;

  /** Records progress and log lines. */
  report(queue: string, requests: readonly ReportRequest[]): Promise<readonly WriteOutcome[]>;

  /** Ends live tasks. One that runs has ended at once: its lease is revoked. */
  cancel(queue: string, ids: readonly string[], reason: string): Promise<readonly CancelOutcome[]>;

  get(queue: string, ids: readonly string[]): Promise<readonly (TaskStatus | undefined)[]>;

  /** The result of a completed task; `undefined` when there is no such task, or it has not completed. */
  result(queue: string, id: string): Promise<Payload | undefined>;

  /** At most `max` events after `after`; `undefined` when there is no such task. */
  events(queue: string, id: string, after: number, max: number): Promise<EventPage | undefined>;

  /** Resolves when there may be events after `after`, or no such task. Rejects with the signal's reason. */
  waitForEvents(queue: string, id: string, after: number, signal: AbortSignal): Promise<void>;

  /** Resolves when there may be something to claim: at once if there is. Rejects with the signal's reason. */
  waitForWork(queue: string, signal: AbortSignal): Promise<void>;

  /**
   * Resolves with leases that were taken from a worker by cancels. Rejects with the signal's reason. It makes cancels
   * prompt and may miss one: {@link renew} tells the same.
   */
  waitForRevoked(queue: string, worker: string, signal: AbortSignal): Promise<readonly RevokedLease[]>;

  /** Failed tasks, the oldest failure first, behind the task `after`. */
  deadLetters(
    queue: string,
    page: { readonly max: number; readonly after?: string },
  ): Promise<readonly TaskStatus[]>;

  /** Makes failed tasks ready again, as if they had never been tried, behind those that are there, limit or not. */
  redrive(queue: string, ids: readonly string[]): Promise<readonly RedriveOutcome[]>;

  /** Forgets tasks that have ended. Whether each was one. */
  discard(queue: string, ids: readonly string[]): Promise<readonly boolean[]>;

  stats(queue: string): Promise<QueueStats>;

  /** Ends all waits; every later call rejects with `CLOSED`. */
  close(): Promise<void>;
}
