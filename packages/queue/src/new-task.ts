// Turns what is said about a task into what a store adds.
import { optionsOf } from "@holdfast/core";
import { TaskExistsError } from "./errors.ts";
import type { Enqueued, EnqueuedTask, EnqueueItem } from "./enqueue-options.ts";
import { encodePayload } from "./payload.ts";
import type { EnqueueOutcome, NewTask } from "./store.ts";
import type { TaskIdMaker } from "./task-id.ts";

/** What all tasks of a queue share. */
export interface NewTaskSettings {
  readonly taskId: TaskIdMaker;
  readonly now: () => number;
  readonly maxPayloadBytes: number;
}

/** @throws InvalidOptionError, PayloadTooLargeError, UnserializableError */
export function newTask<Input>(
  task: EnqueuedTask<Input>,
  item: EnqueueItem<Input>,
  settings: NewTaskSettings,
): NewTask {
  const check = optionsOf("enqueue");
  const { id, dedupKey, group } = item;
  return {
    id: id === undefined ? settings.taskId(settings.now()) : checkId(id),
    name: task.name,
    input: encodePayload(item.input, settings.maxPayloadBytes),
    delayMs: item.delay === undefined ? 0 : check.duration("delay", item.delay),
    priority:
      item.priority === undefined ? 0 : check.integer("priority", item.priority, { min: -1_000, max: 1_000 }),
    maxAttempts: task.attempts,
    maxLeaseLosses: task.leaseLosses,
    keepMs: task.keepMs,
    keepFailedMs: task.keepFailedMs,
    ...(dedupKey === undefined ? {} : { dedupKey: check.string("dedupKey", dedupKey) }),
    ...(group === undefined ? {} : { group: check.string("group", group) }),
  };
}

export function enqueuedOf({ outcome, id }: EnqueueOutcome): Enqueued {
  if (outcome === "exists") throw new TaskExistsError(id);
  return { id, duplicate: outcome === "duplicate" };
}

function checkId(id: string): string {
  const check = optionsOf("enqueue");
  const text = check.string("id", id, 100);
  if (/^[\w.:-]+$/.test(text)) return text;
  return check.refuse("id", id, "letters, digits, dots, colons, hyphens and underscores");
}
