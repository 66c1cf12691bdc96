// A task as HTTP shows it.
import { retryAfterHeader } from "@holdfast/core";
import type { TaskStatus } from "../task/task-status.ts";
import { hasEnded } from "../task/task-status.ts";

/** A task's representation: what `GET /:id` answers. Times in milliseconds since the epoch. */
export type TaskBody = TaskStatus & {
  readonly done: boolean;
  readonly links: {
    readonly self: string;
    readonly events: string;
    /** Present once there is a result. */
    readonly result?: string;
  };
};

/** How long a client is asked to wait between two looks at a task that runs, in milliseconds. */
const POLL_MS = 1_000;

export function taskBody(status: TaskStatus, base: string): TaskBody {
  const self = `${base}/${status.id}`;
  const links = { self, events: `${self}/events` };
  return {
    ...status,
    done: hasEnded(status),
    links: status.state === "completed" ? { ...links, result: `${self}/result` } : links,
  };
}

/** A JSON answer about a task; one that has not ended asks to come back later. */
export function taskResponse(
  status: number,
  body: TaskBody,
  headers: Readonly<Record<string, string>> = {},
): Response {
  const again = body.done ? {} : { "retry-after": retryAfterHeader(POLL_MS) };
  return Response.json(body, { status, headers: { "cache-control": "no-store", ...again, ...headers } });
}
