// Tells what a store has taken.
import { channel } from "@holdfast/core";
import type { EnqueueOutcome, NewTask } from "../store/store.ts";

/** Published as `holdfast:queue:added` when the store has taken tasks; once for each of their names. */
export interface TasksAddedEvent {
  readonly queue: string;
  readonly task: string;
  readonly added: number;
  /** Those that were left out: a live task has their dedup key. */
  readonly duplicates: number;
}

const tasksAdded = /* @__PURE__ */ channel<TasksAddedEvent>("queue", "added");

/** Outcomes in the order of the tasks. */
export function publishAdded(
  queue: string,
  tasks: readonly NewTask[],
  outcomes: readonly Pick<EnqueueOutcome, "outcome">[],
): void {
  if (!tasksAdded.hasSubscribers) return;
  const counts = new Map<string, { added: number; duplicates: number }>();
  for (const [at, { name }] of tasks.entries()) {
    const count = counts.get(name) ?? { added: 0, duplicates: 0 };
    counts.set(name, count);
    if (outcomes[at]?.outcome === "enqueued") count.added += 1;
    if (outcomes[at]?.outcome === "duplicate") count.duplicates += 1;
  }
  for (const [task, count] of counts) tasksAdded.publish({ queue, task, ...count });
}
