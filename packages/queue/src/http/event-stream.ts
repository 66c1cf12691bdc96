// A task's events as Server-Sent Events, resumable by `Last-Event-ID` (HTML standard, §9.2).
import type { Clock } from "@holdfast/core";
import type { Queue } from "../queue/queue-contract.ts";
import type { TaskEvent } from "../task/task-status.ts";

/** How often a comment keeps an idle stream open, in milliseconds. */
const HEARTBEAT_MS = 15_000;

/**
 * The events after `after`. An event is fetched only when the client has taken the one before: a slow client costs
 * no memory. The stream ends after the task's last event.
 */
export function eventStream(queue: Queue, id: string, after: number, clock: Clock): Response {
  const stop = new AbortController();
  const events = queue.events(id, { after, signal: stop.signal });
  const encoder = new TextEncoder();
  let next: Promise<IteratorResult<TaskEvent, void>> | undefined;
  const body = new ReadableStream<Uint8Array>(
    {
      pull: async (controller) => {
        next ??= events.next();
        const event = await orIdle(next, clock);
        if (event === undefined) {
          controller.enqueue(encoder.encode(": still here\n\n"));
          return;
        }
        next = undefined;
        if (event.done === true) controller.close();
        else controller.enqueue(encoder.encode(written(event.value)));
      },
      cancel: async () => {
        stop.abort(new DOMException("the client has gone", "AbortError"));
        await events.return();
      },
    },
    { highWaterMark: 0 },
  );
  return new Response(body, {
    headers: { "content-type": "text/event-stream", "cache-control": "no-store", "x-accel-buffering": "no" },
  });
}

/** The next event; `undefined` when there is none for as long as an idle stream is left alone. */
async function orIdle<T>(next: Promise<T>, clock: Clock): Promise<T | undefined> {
  const beat = new AbortController();
  const idle = clock.sleep(HEARTBEAT_MS, beat.signal).then(
    () => undefined,
    () => undefined,
  );
  try {
    return await Promise.race([next, idle]);
  } finally {
    beat.abort();
  }
}

function written(event: TaskEvent): string {
  return `id: ${event.seq}\nevent: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`;
}
