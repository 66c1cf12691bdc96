// Following a task: its events as they come, and its end.
import { MAX_DURATION_MS } from "@holdfast/core";
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
    await newEvents(queue, id, status.lastSeq, signal);
    status = await queue.status(id);
  }
  return status;
}

/** The events of a task behind `after`, until its end. */
export async function* eventsOf(
  queue: Queue,
  id: string,
  after: number,
  signal: AbortSignal,
): AsyncGenerator<TaskEvent, void, undefined> {
  const { store, name } = queue;
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
    if (page.events.length === 0) await newEvents(queue, id, seen, signal);
  }
}

/** Somebody waits for an answer: a store that is no more than memory and timers must not let the process end before. */
async function newEvents(
  { store, name, clock }: Queue,
  id: string,
  after: number,
  signal: AbortSignal,
): Promise<void> {
  const hold = clock.setTimer(MAX_DURATION_MS, () => {}, { keepAlive: true });
  try {
    await store.waitForEvents(name, id, after, signal);
  } finally {
    hold.cancel();
  }
}
