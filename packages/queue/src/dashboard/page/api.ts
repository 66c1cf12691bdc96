// Questions and wishes to the handler that serves this page.
import type { Action, ActionOutcome, FoundTask, Overview, QueueView, TaskList, TaskView } from "../views.ts";

/** What went wrong, in words for whoever looks at the page. */
export class ApiError extends Error {}

export function getOverview(): Promise<Overview> {
  return get("overview");
}

export function getQueue(queue: string, minutes: number): Promise<QueueView> {
  return get(`queues/${encodeURIComponent(queue)}?minutes=${minutes}`);
}

export function getTasks(queue: string, state: string, max: number): Promise<TaskList> {
  return get(`queues/${encodeURIComponent(queue)}/tasks?state=${state}&max=${max}`);
}

export function getTask(queue: string, id: string): Promise<TaskView> {
  return get(`queues/${encodeURIComponent(queue)}/tasks/${encodeURIComponent(id)}`);
}

export function findTask(id: string): Promise<FoundTask> {
  return get(`find?id=${encodeURIComponent(id)}`);
}

/** Changes tasks, or the queue itself. */
export function act(
  queue: string,
  action: Action,
  wish: { readonly ids?: readonly string[]; readonly all?: true },
): Promise<ActionOutcome> {
  return ask(`queues/${encodeURIComponent(queue)}/${action}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(wish),
  });
}

function get<T>(path: string): Promise<T> {
  return ask<T>(path, {});
}

async function ask<T>(path: string, init: RequestInit): Promise<T> {
  let response: Response;
  try {
    response = await fetch(`api/${path}`, { ...init, signal: AbortSignal.timeout(15_000) });
  } catch {
    throw new ApiError("The server cannot be reached.");
  }
  if (response.ok) return (await response.json()) as T;
  const problem = (await response.json().catch(() => ({}))) as { readonly detail?: unknown };
  throw new ApiError(
    typeof problem.detail === "string" ? problem.detail : `The server said ${response.status}.`,
  );
}
