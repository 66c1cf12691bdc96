// A queue in memory as plain data, and back.
import type { Checkpoint, NewTask, Schedule } from "../store/store.ts";
import type { Payload } from "../task/payload.ts";
import type { TaskEvent } from "../task/task-status.ts";
import { adopt } from "./family.ts";
import type { QueueState } from "./queue-state.ts";
import type { KeptBoard } from "./task-board.ts";
import { TaskEntry } from "./task-entry.ts";

/** Everything about a queue at a time. */
export interface KeptQueue {
  readonly name: string;
  readonly now: number;
  readonly board: KeptBoard;
  readonly schedules: readonly Schedule[];
  /** Parents before their children. */
  readonly tasks: Iterable<KeptTask>;
}

/** The fields of a task that are values of their own. */
const PLAIN = [
  "order",
  "turn",
  "enqueuedAt",
  "state",
  "startableSince",
  "failures",
  "attempt",
  "leaseLosses",
  "fence",
  "worker",
  "backoffState",
  "startedAt",
  "finishedAt",
  "progress",
  "error",
  "cancelReason",
  "waitsForEvents",
  "waitsForChildren",
  "endedAs",
  "isAwaited",
] as const satisfies readonly (keyof TaskEntry)[];

export interface KeptTask {
  readonly task: NewTask;
  readonly plain: Readonly<Record<string, unknown>>;
  /** Absent when there is none: JSON knows no `Infinity`. */
  readonly stateEndsAt?: number;
  readonly expiresAt?: number;
  readonly result?: Payload;
  readonly checkpoints?: readonly Checkpoint[];
  readonly events: readonly TaskEvent[];
  readonly lastSeq: number;
  /** Whether its parent is the task that has the parent's ID now. */
  readonly hasParent: boolean;
}

export function keptQueue(name: string, { board, schedules }: QueueState, now: number): KeptQueue {
  return { name, now, board: board.kept, schedules: schedules.all(), tasks: keptTasks(board.tasks.values()) };
}

/** Makes an empty queue what was kept. */
export function restoreQueue({ board, schedules }: QueueState, kept: KeptQueue): void {
  const entries = new Map<string, TaskEntry>();
  for (const each of kept.tasks) {
    const entry = entryOf(each);
    entries.set(entry.task.id, entry);
    if (each.hasParent) adopt(entries.get(entry.task.parent!)!, entry, entry.isAwaited);
  }
  for (const schedule of kept.schedules) schedules.set(schedule);
  board.restore(kept.board, [...entries.values()], kept.now);
}

function* keptTasks(entries: Iterable<TaskEntry>): Iterable<KeptTask> {
  for (const entry of entries) yield keptTask(entry);
}

function keptTask(entry: TaskEntry): KeptTask {
  const { task, stateEndsAt, expiresAt, result, checkpoints, events } = entry;
  return {
    task,
    plain: Object.fromEntries(PLAIN.map((key) => [key, entry[key]])),
    ...(stateEndsAt === Infinity ? {} : { stateEndsAt }),
    ...(expiresAt === Infinity ? {} : { expiresAt }),
    ...(result === undefined ? {} : { result }),
    ...(checkpoints === undefined
      ? {}
      : { checkpoints: Array.from(checkpoints, ([name, value]) => ({ name, value })) }),
    events: events.all,
    lastSeq: events.lastSeq,
    hasParent: entry.parent !== undefined,
  };
}

function entryOf(kept: KeptTask): TaskEntry {
  const { task, plain, stateEndsAt = Infinity, expiresAt = Infinity, result, checkpoints } = kept;
  const entry = new TaskEntry(task, 0, 0, plain["enqueuedAt"] as number);
  for (const key of PLAIN) if (plain[key] !== undefined) Object.assign(entry, { [key]: plain[key] });
  Object.assign(entry, { stateEndsAt, expiresAt, due: Math.min(stateEndsAt, expiresAt), result });
  if (checkpoints !== undefined)
    entry.checkpoints = new Map(checkpoints.map(({ name, value }) => [name, value]));
  entry.events.restore(kept.events, kept.lastSeq);
  return entry;
}
