// The service's HTTP interface, as the page uses it.

/** A task as `GET /v1/tasks/:id` answers it; the part that is used here. */
export interface TaskBody {
  readonly id: string;
}

/** One of a task's events, as WebSocket and Server-Sent Events carry it. */
export interface TaskEvent {
  readonly seq: number;
  /** Milliseconds since the epoch. */
  readonly at: number;
  readonly type: string;
  readonly value?: { readonly done?: number } | null;
  readonly attempt?: number;
  readonly reason?: string;
  readonly error?: { readonly message: string };
}

/** `GET /v1/state`; the part that is used here. */
export interface ServiceState {
  readonly queue: Readonly<Record<string, number>>;
  /** Tasks that wait or run, and the most that may. */
  readonly live: number;
  readonly limit: number;
  /** What whoever is refused now is told. */
  readonly retryAfterMs: number;
  readonly pool: PoolState;
  readonly intake: PoolState;
}

export interface PoolState {
  readonly devices: readonly DeviceState[];
  readonly modelStates: readonly ModelState[];
  readonly ended: Readonly<Record<string, number>>;
}

export interface ModelState {
  /** `name@version`. */
  readonly key: string;
  readonly waiting: number;
  readonly devices: readonly string[];
  readonly loading: number;
  readonly memoryBytes: number;
  readonly batches: number;
  readonly batched: number;
}

export interface DeviceState {
  readonly id: string;
  readonly status: string;
  readonly running: readonly { readonly model: string; readonly batch: number; readonly ranMs: number }[];
  readonly memoryBytes?: number;
  readonly usedBytes?: number;
}

export function submitPrompt(prompt: string): Promise<TaskBody> {
  return post("/v1/tasks", JSON.stringify({ prompt }), "application/json");
}

/** @param operation - A query, such as `op=upscale&factor=2`. */
export function submitImage(file: Blob, operation: string): Promise<TaskBody> {
  return post(`/v1/tasks?${operation}`, file, file.type);
}

export async function cancelTask(id: string): Promise<void> {
  await answered(await fetch(`/v1/tasks/${id}`, { method: "DELETE" }));
}

export async function serviceState(): Promise<ServiceState> {
  return (await answered(await fetch("/v1/state"))) as ServiceState;
}

export function resultUrl(id: string): string {
  return `/v1/tasks/${id}/result`;
}

async function post(path: string, body: BodyInit, type: string): Promise<TaskBody> {
  const response = await fetch(path, { method: "POST", headers: { "content-type": type }, body });
  return (await answered(response)) as TaskBody;
}

/** The answer's JSON; an error with the problem's own words when it is one. */
async function answered(response: Response): Promise<unknown> {
  if (response.ok) return response.json();
  const problem = (await response.json().catch(() => ({}))) as { readonly detail?: string };
  const after = response.headers.get("retry-after");
  const again = after === null ? "" : `. Try again in ${after} s`;
  throw new Error((problem.detail ?? `the service answered ${response.status}`) + again);
}
