// A task in memory.
import type { NewTask } from "../store.ts";
import type { Payload } from "../payload.ts";
import type { TaskFailure, TaskPhase, TaskState, TaskStatus } from "../task-status.ts";
import { EventLog } from "./event-log.ts";
import type { HeapOrder } from "./indexed-heap.ts";
import type { ListNode } from "./linked-list.ts";

/** Plain fields, changed by the queue's state alone, which keeps heaps and lists in step with them. */
export class TaskEntry {
  state: TaskState = "ready";
  /** When a scheduled task is due, a lease ends, or an ended task is forgotten; `Infinity` when it is ready. */
  due: number = Infinity;
  failures = 0;
  attempt = 0;
  leaseLosses = 0;
  /** Of the latest lease; 0 before the first. */
  fence = 0;
  worker = "";
  backoffState = 0;
  startedAt = 0;
  finishedAt = 0;
  progress: unknown = undefined;
  error: TaskFailure | undefined = undefined;
  cancelReason: string | undefined = undefined;
  result: Payload | undefined = undefined;
  readonly events: EventLog = new EventLog();
  readyPlace = -1;
  duePlace = -1;
  /** In its group's list, while it is live. */
  groupNode: ListNode<TaskEntry> | undefined = undefined;
  /** In the list of ended tasks or of failed ones. */
  endedNode: ListNode<TaskEntry> | undefined = undefined;

  constructor(
    readonly task: NewTask,
    /** The order in which tasks were added. */
    public order: number,
    readonly enqueuedAt: number,
  ) {}

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
      ...(progress === undefined ? {} : { progress }),
      ...(error === undefined ? {} : { lastError: error }),
    };
  }

  #phase(): TaskPhase {
    const { state, finishedAt } = this;
    switch (state) {
      case "scheduled":
        return { state, dueAt: this.due };
      case "ready":
        return { state };
      case "running":
        return { state, startedAt: this.startedAt, worker: this.worker, leaseEndsAt: this.due };
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
export const readyOrder: HeapOrder<TaskEntry> = {
  isBefore: (a, b) =>
    a.task.priority === b.task.priority ? a.order < b.order : a.task.priority > b.task.priority,
  placeOf: (entry) => entry.readyPlace,
  setPlace: (entry, place) => (entry.readyPlace = place),
};

/** The order in which things happen by themselves. */
export const dueOrder: HeapOrder<TaskEntry> = {
  isBefore: (a, b) => (a.due === b.due ? a.order < b.order : a.due < b.due),
  placeOf: (entry) => entry.duePlace,
  setPlace: (entry, place) => (entry.duePlace = place),
};
