// Following a task: its events as they come, and its end.
import { TaskNotFoundError } from "../errors.ts";
import type { TaskEvent, TaskStatus } from "../task/task-status.ts";
import { hasEnded } from "../task/task-status.ts";
import type { Queue } from "./queue-contract.ts";

/** Events fetched at a time. */
const EVENT_PAGE = 100;

/** Resolves once the task has ended. */
export async function ended(queue: Queue, id: string, signal: AbortSignal): Promise<TaskStatus> {
  let status = await queue.status(id);
  while (!hasEnded(status)) {
    await queue.store.waitForEvents(queue.name, id, status.lastSeq, signal);
    status = await queue.status(id);
  }
  return status;
}

/** The events of a task behind `after`, until its end. */
export async function* eventsOf(
  { store, name }: Queue,
  id: string,
  after: number,
  signal: AbortSignal,
): AsyncGenerator<TaskEvent, void, undefined> {
  let seen = after;
  for (;;) {
    signal.throwIfAborted();
    const page = await store.events(name, id, seen, EVENT_PAGE);
    if (page === undefined) throw new TaskNotFoundError(id);
    for (const event of page.events) {
      seen = event.seq;
      yield event;
      signal.throwIfAborted();
    }
    if (page.ended) return;
    if (page.events.length === 0) await store.waitForEvents(name, id, seen, signal);
  }
}
