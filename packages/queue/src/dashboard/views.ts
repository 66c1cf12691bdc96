// What the page is told, in JSON: shapes alone, shared by the handler and the page.
import type { QueueStats } from "../store/store.ts";
import type { TaskEvent, TaskState, TaskStatus } from "../task/task-status.ts";

/** A queue at a glance. */
export interface QueueSummary {
  readonly name: string;
  /** Why it could not be asked; then nothing else is known. */
  readonly error?: string;
  readonly counts: QueueStats;
  readonly paused: boolean;
  /** How long the task has waited that goes next, in milliseconds; absent when there is none. */
  readonly headAgeMs?: number;
  /** The latest points of all, for a small chart. */
  readonly points: readonly Point[];
}

/** In milliseconds. */
export interface Percentiles {
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
}

/** A stretch of time, and what happened in it. Rates are per second, times in milliseconds. */
export interface Point {
  /** Its end, in milliseconds since the epoch. */
  readonly at: number;
  readonly added: number;
  readonly completed: number;
  readonly failed: number;
  readonly retried: number;
  /** Mean wait of a start, and mean run of a completion; absent when there was none. */
  readonly waitMs?: number;
  readonly runMs?: number;
  /** From added to completed, of the latest tasks of each look; absent when there was none. */
  readonly totalMs?: Percentiles;
  /** Tasks that could start, at the end of it. */
  readonly ready: number;
  readonly running: number;
}

export interface Overview {
  readonly title: string;
  readonly readOnly: boolean;
  /** The server's time, by which all others are to be read. */
  readonly now: number;
  readonly queues: readonly QueueSummary[];
}

export interface ScheduleView {
  readonly key: string;
  readonly nextAt: number;
  /** What it says; only where payloads may be shown. */
  readonly text?: string;
}

export interface QueueView {
  readonly title: string;
  readonly readOnly: boolean;
  readonly now: number;
  readonly queue: QueueSummary;
  readonly schedules: readonly ScheduleView[];
}

export interface TaskList {
  readonly state: TaskState;
  readonly tasks: readonly TaskStatus[];
  /** Whether there are more than these. */
  readonly more: boolean;
}

/** Where a task is. */
export interface FoundTask {
  /** Names of the queues that have one of this ID. */
  readonly queues: readonly string[];
  /** Names of those that could not be asked. */
  readonly silent: readonly string[];
}

export interface CheckpointView {
  readonly name: string;
  /** JSON, perhaps cut; only where payloads may be shown. */
  readonly value?: string;
}

export interface TaskView {
  readonly title: string;
  readonly readOnly: boolean;
  readonly now: number;
  readonly queue: string;
  readonly task: TaskStatus;
  /** The latest, oldest first. */
  readonly events: readonly TaskEvent[];
  /** How many older ones are not shown, or no longer kept. */
  readonly eventsBefore: number;
  readonly checkpoints: readonly CheckpointView[];
  readonly children: readonly TaskStatus[];
  /** JSON, perhaps cut; only of a task that lives or has failed, where payloads may be shown. */
  readonly input?: string;
  /** JSON, perhaps cut; only of a completed task, where payloads may be shown. */
  readonly result?: string;
}

/** What can be done to a queue and its tasks. */
export type Action = "pause" | "resume" | "cancel" | "redrive" | "discard";

/** How many tasks were changed, and how many dead letters there are now. */
export interface ActionOutcome {
  readonly changed: number;
  readonly asked: number;
}
