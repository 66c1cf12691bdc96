// Tasks over HTTP: 202 and a Location at once, then poll, long-poll, stream or cancel.
import type { Handler } from "@holdfast/core";
import { optionsOf, problemResponse, readJson, RequestError } from "@holdfast/core";
import { TaskCancelledError, TaskFailedError } from "../errors.ts";
import type { EnqueueOptions } from "../queue/enqueue-options.ts";
import type { Queue } from "../queue/queue-contract.ts";
import { eventCheckpoint } from "../steps/step-names.ts";
import { hasEnded } from "../task/task-status.ts";
import type { TaskDefinition } from "../task/task.ts";
import { eventStream } from "./event-stream.ts";
import { inlineOf, resultResponse } from "./file-result.ts";
import type { AllowedOrigins } from "./own-origin.ts";
import { isAllowedOrigin, originsOf } from "./own-origin.ts";
import { taskBody, taskResponse } from "./task-body.ts";

/** What a request to submit work turns into. */
export interface Submission<Input = unknown> {
  readonly task: TaskDefinition<Input, unknown, never, unknown>;
  readonly input: Input;
  readonly options?: EnqueueOptions;
}

export interface TaskApiOptions {
  readonly queue: Queue;
  /** Where the API lives, without a slash at its end. @defaultValue "/tasks" */
  readonly base?: string;
  /**
   * Reads a submission: checks the request and says what to enqueue. What it throws is answered as problem
   * details. One of this and {@link task} is needed for `POST`.
   */
  readonly submit?: (request: Request) => Submission | Promise<Submission>;
  /** The only kind of task there is: its input is the request's JSON body. */
  readonly task?: TaskDefinition<never, unknown, never, unknown>;
  /** Refuses a request by throwing. Called for every one, with the task's ID where there is one. */
  readonly authorize?: (request: Request, taskId: string | undefined) => unknown;
  /** The events that tasks can be told of from outside, and for which `step.waitFor` waits. @defaultValue none */
  readonly signals?: readonly string[];
  /**
   * Origins whose pages may send requests, beside those of the request's own host: other sites, and this one behind a
   * proxy that changes the `Host`. `"any"`: all, where no cookie says who it is. @defaultValue none
   */
  readonly origins?: AllowedOrigins;
  /**
   * Media types of results that browsers may show though they might run, such as `"text/html"`: they then run as a page of
   * this host. Pictures, sound, video, plain text and JSON are shown anyway. @defaultValue none
   */
  readonly inline?: readonly string[];
  /** Longest long-poll (`Prefer: wait`), in seconds. @defaultValue 60 */
  readonly maxWaitSeconds?: number;
}

const PATH = /^(?:\/[\w.~-]+)+$/;
const ROUTE = /^(?:\/?|\/([\w.:-]{1,100})(?:\/(result|events)|\/events\/([\w.-]{1,100}))?)$/;

/** Where a request goes below the base. */
interface Route {
  readonly id: string | undefined;
  readonly part: "" | "result" | "events";
  /** The event that the task is told of. */
  readonly event: string | undefined;
}

/**
 * A Fetch handler for tasks.
 *
 * - `POST base` adds a task: **202** with `Location` and the task; the same dedup key again names the task there is.
 * - `GET base/:id` answers the task, with `Retry-After` while it has not ended. `Prefer: wait=n` (RFC 7240) holds
 *   the answer back until it has, for at most n seconds.
 * - `GET base/:id/result` answers the result (a {@link fileResult} as its bytes, to be saved if it
 *   is of a type that might run in a browser); 409 while there is none, and for a
 *   task that failed or was cancelled, the error as problem details.
 * - `GET base/:id/events` streams Server-Sent Events, from `Last-Event-ID` or `?after=` on; 204 once there is nothing
 *   more to come.
 * - `POST base/:id/events/:name` tells the task of an event, if that is one of `signals`; the JSON body is its value:
 *   202 with the task, 200 if it was told before, 409 if it had ended.
 * - `DELETE base/:id` cancels: 200 with the task, also when it had ended before.
 *
 * A request that says it comes from another site's page is refused with 403 (`FOREIGN_ORIGIN`), whatever it asks for.
 *
 * Whoever knows an ID may ask about it, unless `authorize` says otherwise: IDs are too long to guess.
 *
 * @throws InvalidOptionError when an option is out of range.
 */
export function taskApi(options: TaskApiOptions): Handler {
  const check = optionsOf("taskApi");
  const { queue, authorize } = options;
  const base = check.string("base", options.base, 200, "/tasks");
  // One that ends with a slash would make locations such as "//id", which is a host.
  if (!PATH.test(base)) check.refuse("base", base, 'a path such as "/v1/tasks", without a slash at its end');
  const maxWait = check.integer("maxWaitSeconds", options.maxWaitSeconds, { min: 0, max: 600 }, 60);
  const signals = new Set(signalsOf(options.signals));
  const origins = originsOf("taskApi", options.origins);
  const inline = inlineOf(options.inline);
  const submit = options.submit ?? submitterOf(options.task, queue.maxPayloadBytes);

  const serve = async (request: Request): Promise<Response> => {
    const route = routeOf(new URL(request.url).pathname, base);
    assertOrigin(request, origins);
    await authorize?.(request, route.id);
    if (route.id === undefined) return add(queue, base, submit, request);
    if (route.event !== undefined) return tell(queue, base, signals, route.id, route.event, request);
    if (request.method === "DELETE" && route.part === "") return cancel(queue, base, route.id);
    if (request.method !== "GET" && request.method !== "HEAD")
      throw notAllowed(route.part === "" ? "GET, DELETE" : "GET");
    if (route.part === "result") return result(queue, route.id, inline);
    if (route.part === "events") return stream(queue, route.id, request);
    return look(queue, base, route.id, request, maxWait);
  };
  return async (request) => {
    try {
      return await serve(request);
    } catch (error) {
      if (error instanceof MethodError) return problemResponse(error, { allow: error.allow });
      // What is not ours is the server's own fault, and its to report.
      if (request.signal.aborted || !(error instanceof Error) || !("toProblem" in error)) throw error;
      return problemResponse(error);
    }
  };
}

/** @throws RequestError 403 */
function assertOrigin({ headers, url }: Request, origins: AllowedOrigins): void {
  const origin = headers.get("origin") ?? undefined;
  const host = headers.get("host") ?? new URL(url).host;
  if (isAllowedOrigin({ origin, host }, origins)) return;
  throw new RequestError(403, "FOREIGN_ORIGIN", "requests from the pages of this origin are not taken");
}

async function add(
  queue: Queue,
  base: string,
  submit: NonNullable<TaskApiOptions["submit"]> | undefined,
  request: Request,
): Promise<Response> {
  if (request.method !== "POST" || submit === undefined) throw notAllowed(submit === undefined ? "" : "POST");
  const { task, input, options } = await submit(request);
  const { id } = await queue.enqueue(task, input, options);
  const body = taskBody(await queue.status(id), base);
  return taskResponse(202, body, { location: body.links.self });
}

async function look(
  queue: Queue,
  base: string,
  id: string,
  request: Request,
  maxWait: number,
): Promise<Response> {
  const wait = Math.min(maxWait, waitOf(request.headers.get("prefer")));
  if (wait > 0) await untilEnded(queue, id, wait * 1_000, request.signal);
  const headers: Record<string, string> = wait > 0 ? { "preference-applied": `wait=${wait}` } : {};
  return taskResponse(200, taskBody(await queue.status(id), base), headers);
}

async function result(queue: Queue, id: string, inline: ReadonlySet<string>): Promise<Response> {
  const status = await queue.status(id);
  if (status.state === "failed") throw new TaskFailedError(id, status.error.code, status.error.message);
  if (status.state === "cancelled") throw new TaskCancelledError(id, status.reason);
  const stored = await queue.result(id);
  if (stored === undefined)
    throw new RequestError(409, "NOT_READY", `task ${id} has no result yet: it is ${status.state}`);
  return resultResponse(stored.value, inline);
}

async function stream(queue: Queue, id: string, request: Request): Promise<Response> {
  // A task that is not there is a 404, not a stream that breaks.
  const status = await queue.status(id);
  const given = request.headers.get("last-event-id") ?? new URL(request.url).searchParams.get("after") ?? "0";
  if (!/^\d{1,15}$/.test(given))
    throw new RequestError(400, "BAD_EVENT_ID", "the event ID must be a whole number");
  // A browser comes back to a stream that has ended, for ever, unless it is told that there is nothing more.
  if (hasEnded(status) && Number(given) >= status.lastSeq) return new Response(null, { status: 204 });
  return eventStream(queue, id, Number(given), queue.clock);
}

async function cancel(queue: Queue, base: string, id: string): Promise<Response> {
  await queue.cancel(id, "cancelled over HTTP");
  return taskResponse(200, taskBody(await queue.status(id), base));
}

async function tell(
  queue: Queue,
  base: string,
  signals: ReadonlySet<string>,
  id: string,
  event: string,
  request: Request,
): Promise<Response> {
  if (!signals.has(event)) throw new RequestError(404, "NOT_FOUND", "there is no such event");
  if (request.method !== "POST") throw notAllowed("POST");
  const outcome = await queue.signal(id, event, await readJson(request, queue.maxPayloadBytes));
  if (outcome === "ended") throw new RequestError(409, "TASK_ENDED", `task ${id} has ended`);
  return taskResponse(outcome === "delivered" ? 202 : 200, taskBody(await queue.status(id), base));
}

/** Names are checked here, so that a wrong one is found when the server starts. */
function signalsOf(signals: TaskApiOptions["signals"]): readonly string[] {
  if (signals !== undefined && !Array.isArray(signals))
    optionsOf("taskApi").refuse("signals", signals, "a list of events");
  for (const event of signals ?? []) eventCheckpoint(event);
  return signals ?? [];
}

async function untilEnded(queue: Queue, id: string, ms: number, signal: AbortSignal): Promise<void> {
  if (hasEnded(await queue.status(id))) return;
  const stop = new AbortController();
  const timer = queue.clock.setTimer(ms, () => stop.abort());
  const onGone = (): void => stop.abort();
  if (signal.aborted) onGone();
  signal.addEventListener("abort", onGone, { once: true });
  try {
    let status = await queue.status(id);
    while (!hasEnded(status)) {
      await queue.store.waitForEvents(queue.name, id, status.lastSeq, stop.signal);
      status = await queue.status(id);
    }
  } catch (error) {
    if (!stop.signal.aborted) throw error;
  } finally {
    timer.cancel();
    signal.removeEventListener("abort", onGone);
  }
}

function submitterOf(
  task: TaskApiOptions["task"],
  maxBytes: number,
): ((request: Request) => Promise<Submission>) | undefined {
  if (task === undefined) return undefined;
  return async (request) => ({
    task: task as unknown as Submission["task"],
    input: await readJson(request, maxBytes),
  });
}

function routeOf(path: string, base: string): Route {
  const rest = path.startsWith(base) ? path.slice(base.length) : undefined;
  const match = rest === undefined ? null : ROUTE.exec(rest);
  if (match === null) throw new RequestError(404, "NOT_FOUND", "there is nothing at this address");
  return { id: match[1], part: (match[2] ?? "") as Route["part"], event: match[3] };
}

/** Seconds of `Prefer: wait=n` (RFC 7240 §4.3); 0 without. */
function waitOf(prefer: string | null): number {
  const match = /(?:^|[,;\s])wait=(\d{1,6})/.exec(prefer ?? "");
  return match === null ? 0 : Number(match[1]);
}

class MethodError extends RequestError {
  constructor(readonly allow: string) {
    super(
      405,
      "METHOD_NOT_ALLOWED",
      allow === "" ? "nothing can be done here" : `only ${allow} can be done here`,
    );
  }
}

function notAllowed(allow: string): MethodError {
  return new MethodError(allow);
}
