// The store contract: what a queue asks of memory, Redis or Postgres. Every verb is atomic in the store.
//
// Words. *Claim*: a worker takes ready tasks and receives a lease on each. *Fence*: the fencing token of a lease,
// higher than that of any lease on this ID before; never the attempt. *Settle*: whoever holds a lease ends it.
// *Live*: scheduled, waiting, ready or running. *Ended*: completed, failed or cancelled.
//
// Order. Ready tasks are claimed by priority, the highest first, then by turn, whatever has happened to them since. A
// task is given its turn when it is added: those of one tenant, and those of none together, have turns in the order they
// were added; tenants of one priority take turns by their weights (start-time fair queueing: Goyal, Vin, Cheng 1996).
// So without tenants turns are the order in which tasks were added. Of equal turns either may be first.
// What happens by itself does so in the order of time; at the same time, to the task first that was added first.
//
// In numbers: a new task of tenant `t` ("" if none) and priority `p` gets the turn max(V[p], F[p, t]); then F[p, t] is
// that turn plus turnCost(weight). V[p] is the highest turn that was claimed at this priority. All begins at 0, and is
// forgotten when no task is live. An F that is not above V says nothing and is dropped; when more than MAX_TENANTS are
// left at one priority, V[p] rises to the lowest of them, so that the table stays bounded.
//
// Groups. The first `concurrency` live tasks of a group, in the order they were added, are those that may run: one that
// is delayed, waits, or is to be tried again keeps its place. A group with a rate starts tasks as a token bucket allows.
// While the bucket is empty, none of its tasks can be claimed. A redriven task is the last of its group again.
//
// The bucket, in whole numbers: `debt` is 0 when it is full, each start adds `perMs` to it, each millisecond takes
// `tasks` away. A task may start while debt + perMs <= tasks * perMs. When a rate changes, what is owed is carried over:
// ceil(debt / old perMs * new perMs), at most the whole bucket. A group that had no rate begins with a full bucket. What
// is known of a group is forgotten when it has no live task and its bucket is full again.
import type { Payload } from "../task/payload.ts";
import type { TaskEvent, TaskFailure, TaskState, TaskStatus } from "../task/task-status.ts";

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
  /**
   * If it has never been started by then, it is cancelled, and its live children, for the reason {@link EXPIRED}.
   * Redriven, it expires no more.
   */
  readonly expireMs?: number;
  /** Handed out with each claim, as it is; at most 4 KiB. The store does not look into it. */
  readonly meta?: string;
  /** At most one live task has this key. */
  readonly dedupKey?: string;
  readonly group?: string;
  /**
   * Of its group, for all its tasks: what the task said that was added last, of those that say something. One at a time,
   * at any rate, if nothing was said. A redriven task says it again only if the group was forgotten.
   */
  readonly groupLimit?: GroupLimit;
  /** Whose turn it takes. */
  readonly tenant?: string;
  /** The tenant's share, from 1 to {@link MAX_WEIGHT}, in the turn of this task. 1 if nothing is said. */
  readonly weight?: number;
  /**
   * A live task, which may wait for this one as one of its children. It may be added in the same call, before it. A
   * child that has ended is waited for no more, also when it is redriven.
   */
  readonly parent?: string;
  /** Begins as `waiting`, for its children; ready at the end of the call if that adds none. Its delay is not heeded. */
  readonly waitsForChildren?: boolean;
  /** How long it is kept once it is completed or cancelled. */
  readonly keepMs: number;
  /** How long it is kept once it has failed. */
  readonly keepFailedMs: number;
}

/** How the tasks of a group run. */
export interface GroupLimit {
  /** At a time, from 1. */
  readonly concurrency: number;
  /**
   * Starts: a token bucket of `tasks`, filled evenly in `perMs`; whole numbers whose product is a safe integer. A start
   * that is given back has used its token.
   */
  readonly rate?: { readonly tasks: number; readonly perMs: number };
}

/** The largest weight of a tenant. */
export const MAX_WEIGHT = 60;

/** How many tenants' next turns are remembered for each priority. */
export const MAX_TENANTS = 10_000;

/** How many schedules a queue has at most. */
export const MAX_SCHEDULES = 1_000;

/** How far a task moves the next turn of its tenant. Whole numbers, so that all stores agree. */
export function turnCost(weight: number): number {
  return Math.max(1, Math.round(MAX_WEIGHT / weight));
}

/** Why a task was cancelled that was not started in time. */
export const EXPIRED = "expired";

/**
 * What became of a new task. `exists`: its ID is taken. `duplicate`: a live task has its key, and that one's `id`.
 * `no_parent`: its parent is not there, or has ended. The first of these that is so.
 */
export interface EnqueueOutcome {
  readonly outcome: "enqueued" | "duplicate" | "exists" | "no_parent";
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
  readonly meta?: string;
  /** How many checkpoints it has: there is nothing to be fetched when it has none. */
  readonly checkpoints: number;
}

/** What a task was given, as it is stored. `meta` says the version of the input. */
export type StoredInput = Pick<ClaimedTask, "name" | "input" | "meta">;

/** How the holder of a lease ends it. */
export type Settlement = LeaseRef &
  (
    | { readonly kind: "complete"; readonly result: Payload }
    /** The try has failed. Without `retry`, or when it was the last one, so has the task. */
    | { readonly kind: "fail"; readonly error: TaskFailure; readonly retry?: RetryPlan }
    /** Given back unfinished: ready again at once in its old place, and no try is used up. */
    | { readonly kind: "release" }
    /**
     * Given back until something happens; no try is used up and its place is kept. With `events`: until a checkpoint of
     * one of these names is there. With `children`: until no child is live, but for redriven ones. Until either, with both.
     * With `delayMs`: no longer than that; alone, it is `scheduled`. What has happened already makes it ready at once,
     * and so does a wait for nothing.
     */
    | {
        readonly kind: "suspend";
        readonly events?: readonly string[];
        readonly children?: boolean;
        readonly delayMs?: number;
      }
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

/** Something a task must not do again, or has been told: a name and what came of it. Kept as long as the task. */
export interface Checkpoint {
  readonly name: string;
  readonly value: Payload;
}

/** What became of an event for a task. `duplicate`: it has a checkpoint of that name. */
export type SignalOutcome = "delivered" | "duplicate" | "ended" | "unknown";

/** When tasks are to be added by themselves: the store keeps it, whoever asks it {@link QueueStore.fire | fires} it. */
export interface Schedule {
  /** Unique in the queue. */
  readonly key: string;
  /** What it says, which the store does not look into; at most 64 KiB. */
  readonly text: string;
  /** Milliseconds since the epoch. */
  readonly nextAt: number;
}

/** What became of a wish to fire a schedule. `stale`: somebody else has, or it is another one by now. */
export type FireOutcome = "fired" | "stale" | "full";

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

/** What has happened in a queue since its first task. Differences of two are a rate. */
export interface QueueMeter {
  /** Tasks added. */
  readonly added: number;
  /** Leases given. */
  readonly started: number;
  readonly completed: number;
  readonly failed: number;
  readonly cancelled: number;
  /** Tries that failed and were not the last. */
  readonly retried: number;
  /** Of all first starts together: from when the task was added, or its delay or its first wait was over, to its start. */
  readonly waitedMs: number;
  /** Of all completions together: from the task's last start to its end. */
  readonly ranMs: number;
  /** When the task was added that is to be claimed next, or would be if the queue were not paused; absent if there is none. */
  readonly headAddedAt?: number;
  readonly paused: boolean;
}

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

  /** Records checkpoints in order, in one step. A name that is there stays as it is, and makes no event. */
  checkpoint(queue: string, lease: LeaseRef, checkpoints: readonly Checkpoint[]): Promise<WriteOutcome>;

  /** All checkpoints of a task, in the order they were recorded; none when there is no such task. */
  checkpoints(queue: string, id: string): Promise<readonly Checkpoint[]>;

  /** Records a checkpoint from outside; if the task waits for it, it is ready. */
  signal(queue: string, id: string, checkpoint: Checkpoint): Promise<SignalOutcome>;

  /** The children of a task that are not forgotten, in the order they were added; none when there is no such task. */
  children(queue: string, id: string): Promise<readonly TaskStatus[]>;

  /**
   * Ends live tasks, and their live children, and theirs, for the same reason. One that runs has ended at once: its lease
   * is revoked. Of a child that is named behind its parent the answer is `ended`.
   */
  cancel(queue: string, ids: readonly string[], reason: string): Promise<readonly CancelOutcome[]>;

  get(queue: string, ids: readonly string[]): Promise<readonly (TaskStatus | undefined)[]>;

  /**
   * The input of a task that lives or has failed; `undefined` when there is no such task, or it has completed or was
   * cancelled: nobody needs its input any more, and stores let go of it.
   */
  input(queue: string, id: string): Promise<StoredInput | undefined>;

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

  /**
   * Makes failed tasks ready again, as if they had never been tried, behind those that are there, limit or not. They
   * keep their checkpoints and their fences.
   */
  redrive(queue: string, ids: readonly string[]): Promise<readonly RedriveOutcome[]>;

  /** Forgets tasks that have ended. Whether each was one. */
  discard(queue: string, ids: readonly string[]): Promise<readonly boolean[]>;

  stats(queue: string): Promise<QueueStats>;

  meter(queue: string): Promise<QueueMeter>;

  /** Up to `max` tasks in a state: roughly those that change next, of ended ones roughly those that ended last. */
  list(queue: string, state: TaskState, max: number): Promise<readonly TaskStatus[]>;

  /** Whether anything can be claimed, by anybody, from now on. What runs goes on. */
  pause(queue: string, paused: boolean): Promise<void>;

  /**
   * Adds a schedule or replaces one; one with the same text is left as it is, with its time. At most
   * {@link MAX_SCHEDULES}: answers whether it is there.
   */
  setSchedule(queue: string, schedule: Schedule): Promise<boolean>;

  /** Whether there was one. */
  removeSchedule(queue: string, key: string): Promise<boolean>;

  /** All schedules, the one that is next first. */
  schedules(queue: string): Promise<readonly Schedule[]>;

  /**
   * Adds a task and moves its schedule on, in one step, if that still has this text and time; else changes nothing. It
   * moves on too when the task is a duplicate, exists or has no parent; a full queue changes nothing.
   */
  fire(
    queue: string,
    schedule: Schedule,
    nextAt: number,
    task: NewTask,
    options: { readonly limit: number },
  ): Promise<FireOutcome>;

  /** Ends all waits; every later call rejects with `CLOSED`. */
  close(): Promise<void>;
}
