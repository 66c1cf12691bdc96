// What can be asked about a task: its state, why it failed, and what has happened to it.

/** A task's state with what goes with it. `failed` tasks are the dead letters. Times in milliseconds since the epoch. */
export type TaskPhase =
  /** Waits for its time: a delay, or the wait before another try. */
  | { readonly state: "scheduled"; readonly dueAt: number }
  /**
   * For one of some events (checkpoints of these names: `event:approved` of the event `approved`), its children, or whichever
   * is first; no longer than `dueAt`.
   */
  | {
      readonly state: "waiting";
      readonly events?: readonly string[];
      readonly children?: boolean;
      readonly dueAt?: number;
    }
  | { readonly state: "ready" }
  | {
      readonly state: "running";
      readonly startedAt: number;
      readonly worker: string;
      /** When the worker's lease ends, unless it is renewed. */
      readonly leaseEndsAt: number;
    }
  | { readonly state: "completed"; readonly finishedAt: number }
  | { readonly state: "failed"; readonly finishedAt: number; readonly error: TaskFailure }
  | { readonly state: "cancelled"; readonly finishedAt: number; readonly reason: string };

export type TaskState = TaskPhase["state"];

/** Why a try failed; plain JSON. */
export interface TaskFailure {
  /** Stable: the error's `code`, or its name. */
  readonly code: string;
  readonly message: string;
}

/** A task as its queue knows it; its result is asked for apart. */
export type TaskStatus = TaskPhase & {
  readonly id: string;
  readonly name: string;
  readonly priority: number;
  readonly group?: string;
  readonly tenant?: string;
  readonly parent?: string;
  readonly enqueuedAt: number;
  /** The latest try, from 1; 0 before the first. A try whose lease was lost is made again under the same number. */
  readonly attempt: number;
  readonly maxAttempts: number;
  /** How often a worker was lost while it ran the task. */
  readonly leaseLosses: number;
  /** What was reported last. */
  readonly progress?: unknown;
  /** Of the latest try that failed. */
  readonly lastError?: TaskFailure;
  /** Number of the latest event. */
  readonly lastSeq: number;
};

/** What has happened. */
export type TaskEventBody =
  | { readonly type: "enqueued" }
  | { readonly type: "started"; readonly attempt: number }
  | { readonly type: "progress"; readonly value: unknown }
  | { readonly type: "log"; readonly line: string }
  | { readonly type: "retrying"; readonly delayMs: number; readonly error: TaskFailure }
  /** Something it must not do again is done, and recorded under this name. */
  | { readonly type: "checkpoint"; readonly name: string }
  /** It was told something, recorded as a checkpoint of this name. */
  | { readonly type: "signalled"; readonly name: string }
  /** Given back until something happens. */
  | {
      readonly type: "suspended";
      readonly events?: readonly string[];
      readonly children?: boolean;
      readonly delayMs?: number;
    }
  /** A worker that closes has given it back. */
  | { readonly type: "released" }
  /** Its worker stopped renewing its lease. */
  | { readonly type: "lease_lost" }
  | { readonly type: "redriven" }
  | { readonly type: "completed" }
  | { readonly type: "failed"; readonly error: TaskFailure }
  | { readonly type: "cancelled"; readonly reason: string };

/**
 * Something that happened to a task. `seq` counts from 1 for each task and never starts again: whoever remembers
 * the last one it has seen can go on from there. A gap means that older events are no longer kept.
 */
export type TaskEvent = TaskEventBody & { readonly seq: number; readonly at: number };

/** Whether a task in this state has ended: it changes only by being redriven or discarded. */
export function hasEnded(task: { readonly state: TaskState }): boolean {
  return task.state === "completed" || task.state === "failed" || task.state === "cancelled";
}
