// What the reference knows of a task.
import type { Checkpoint, NewTask } from "../../store/store.ts";
import type { TaskState } from "../../task/task-status.ts";

export interface ReferenceTask {
  readonly task: NewTask;
  readonly addedAt: number;
  readonly parent: ReferenceTask | undefined;
  order: number;
  turn: number;
  state: TaskState;
  /** When its delay, wait or lease ends, or it is forgotten. */
  endsAt: number;
  expiresAt: number;
  startableAt: number;
  startedAt: number;
  waitsFor: { readonly events?: readonly string[]; readonly children?: boolean };
  /** Whether its parent would wait for it. */
  isAwaited: boolean;
  failures: number;
  attempt: number;
  losses: number;
  fence: number;
  backoffState: number;
  lastSeq: number;
  progress: unknown;
  reason: string;
  result: string | undefined;
  readonly checkpoints: Checkpoint[];
  /** Counts ends, to order dead letters. */
  endedAs: number;
}

/** Whether it is new. */
export function record(entry: ReferenceTask, checkpoint: Checkpoint): boolean {
  if (entry.checkpoints.some(({ name }) => name === checkpoint.name)) return false;
  entry.checkpoints.push(checkpoint);
  entry.lastSeq += 1;
  return true;
}

/** When something happens to it by itself. */
export function due({ endsAt, expiresAt }: ReferenceTask): number {
  return Math.min(endsAt, expiresAt);
}

export function isLive({ state }: ReferenceTask): boolean {
  return state === "scheduled" || state === "waiting" || state === "ready" || state === "running";
}
