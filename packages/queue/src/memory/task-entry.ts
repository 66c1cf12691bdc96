// A task in memory.
import type { Place } from "@holdfast/core/collections";
import type { NewTask } from "../store/store.ts";
import type { Payload } from "../task/payload.ts";
import type { TaskFailure, TaskPhase, TaskState, TaskStatus } from "../task/task-status.ts";
import { EventLog } from "./event-log.ts";
import type { LinkedList, ListNode } from "./linked-list.ts";

/** An input as small as this costs less than a copy of its task without it. In UTF-16 units. */
const SMALL_INPUT = 256;
const NO_INPUT: Payload = { text: "", blobs: [] };

/** Plain fields, changed by the queue's state alone, which keeps heaps and lists in step with them. */
export class TaskEntry {
  state: TaskState = "scheduled";
  /** When a delay, a wait or a lease ends, or an ended task is forgotten; `Infinity` when its state has no end. */
  stateEndsAt: number = Infinity;
  /** `Infinity` once it was started. */
  expiresAt: number = Infinity;
  /** When something happens to it by itself: the sooner of the two. */
  due: number = Infinity;
  /** Since when it could have been started; of one that is delayed, until when it could not. */
  startableSince: number;
  failures = 0;
  attempt = 0;
  leaseLosses = 0;
  /** Of the latest lease; 0 before the first. */
  fence = 0;
  worker = "";
  backoffState = 0;
  /** Of the latest start and of the end; until then when it was added, so that the engine keeps one kind of number there. */
  startedAt: number;
  finishedAt: number;
  progress: unknown;
  error: TaskFailure | undefined;
  cancelReason: string | undefined;
  result: Payload | undefined;
  checkpoints: Map<string, Payload> | undefined;
  /** While it is `waiting`. */
  waitsForEvents: readonly string[] | undefined;
  waitsForChildren = false;
  readonly events: EventLog = new EventLog();
  readyPlace = -1;
  duePlace = -1;
  /** In its group's list, while it is live. */
  groupNode: ListNode<TaskEntry> | undefined;
  groupPlace = -1;
  /** Whether it is one of the first of its group, which may run. */
  isInside = false;
  /** While both are known. */
  parent: TaskEntry | undefined;
  childNode: ListNode<TaskEntry> | undefined;
  children: LinkedList<TaskEntry> | undefined;
  /** Children that have not ended since they were added. */
  openChildren = 0;
  /** Whether it is one of those. */
  isAwaited = false;
  /** Counts ends, to order those lists. */
  endedAs = 0;
  /** In the list of ended tasks or of failed ones. */
  endedNode: ListNode<TaskEntry> | undefined;

  constructor(
    public task: NewTask,
    /** The order in which tasks were added or redriven. */
    public order: number,
    public turn: number,
    readonly enqueuedAt: number,
  ) {
    this.startedAt = this.finishedAt = enqueuedAt;
    this.startableSince = enqueuedAt + (task.waitsForChildren === true ? 0 : task.delayMs);
  }

  /** It has ended, and not in the dead letters: its input is not asked for any more. */
  dropInput(): void {
    const { text, blobs } = this.task.input;
    if (text.length > SMALL_INPUT || blobs.length > 0) this.task = { ...this.task, input: NO_INPUT };
  }

  status(): TaskStatus {
    const { task, progress, error } = this;
    return {
      ...this.#phase(),
      id: task.id,
      name: task.name,
      priority: task.priority,
      enqueuedAt: this.enqueuedAt,
      attempt: this.attempt,
      maxAttempts: task.maxAttempts,
      leaseLosses: this.leaseLosses,
      lastSeq: this.events.lastSeq,
      ...(task.group === undefined ? {} : { group: task.group }),
      ...(task.tenant === undefined ? {} : { tenant: task.tenant }),
      ...(task.parent === undefined ? {} : { parent: task.parent }),
      ...(progress === undefined ? {} : { progress }),
      ...(error === undefined ? {} : { lastError: error }),
    };
  }

  #phase(): TaskPhase {
    const { state, finishedAt, stateEndsAt } = this;
    switch (state) {
      case "scheduled":
        return { state, dueAt: stateEndsAt };
      case "waiting":
        return {
          state,
          ...(this.waitsForEvents === undefined ? {} : { events: this.waitsForEvents }),
          ...(this.waitsForChildren ? { children: true } : {}),
          ...(stateEndsAt === Infinity ? {} : { dueAt: stateEndsAt }),
        };
      case "ready":
        return { state };
      case "running":
        return { state, startedAt: this.startedAt, worker: this.worker, leaseEndsAt: stateEndsAt };
      case "completed":
        return { state, finishedAt };
      case "failed":
        return { state, finishedAt, error: this.error! };
      case "cancelled":
        return { state, finishedAt, reason: this.cancelReason! };
    }
  }
}

/** The order of claims. */
export function isClaimedBefore(a: TaskEntry, b: TaskEntry): boolean {
  if (a.task.priority !== b.task.priority) return a.task.priority > b.task.priority;
  return a.turn === b.turn ? a.order < b.order : a.turn < b.turn;
}

export const READY_PLACE: Place<TaskEntry> = {
  of: (entry) => entry.readyPlace,
  set: (entry, at) => void (entry.readyPlace = at),
};

/** The order in which things happen by themselves. */
export function isDueBefore(a: TaskEntry, b: TaskEntry): boolean {
  return a.due === b.due ? a.order < b.order : a.due < b.due;
}

export const DUE_PLACE: Place<TaskEntry> = {
  of: (entry) => entry.duePlace,
  set: (entry, at) => void (entry.duePlace = at),
};
