// Every address of the dashboard: the page's files, the JSON it lives on, and what changes something.
import type { Clock } from "@holdfast/core";
import { problemResponse, RequestError } from "@holdfast/core";
import type { Queue } from "../queue/queue-contract.ts";
import type { TaskState } from "../task/task-status.ts";
import type { Verdict } from "./access.ts";
import { assertOwnPage } from "./access.ts";
import type { Watched } from "./answers.ts";
import { findTask, listOf, schedulesOf, summaryOf, taskOf } from "./answers.ts";
import { change, isAction } from "./changes.ts";
import { PAGE_HEADERS, pageFile } from "./page-files.ts";
import type { Action, ActionOutcome, FoundTask, Overview, QueueView, TaskList, TaskView } from "./views.ts";

const STATES: readonly TaskState[] = [
  "scheduled",
  "waiting",
  "ready",
  "running",
  "completed",
  "failed",
  "cancelled",
];
/** Points of a chart, tasks of a list. */
const POINTS = { overview: 30, queue: 120 };
const TASKS = { few: 50, most: 200 };
const OVERVIEW_WINDOW_MS = 300_000;
/** Characters of an ID that is looked for. */
const MAX_ID = 1_000;

/** All that answers need. */
export interface Settings {
  readonly title: string;
  readonly watched: ReadonlyMap<string, Watched>;
  readonly showPayloads: boolean;
  readonly allowedOrigins: readonly string[];
  readonly clock: Clock;
}

/** What was asked, and what the one who asks may do. */
interface Asked {
  readonly request: Request;
  readonly url: URL;
  readonly readOnly: boolean;
}

/** Answers one request: to whoever may ask, what they may know. */
export async function answer(
  settings: Settings,
  base: string,
  access: (request: Request) => Promise<Verdict>,
  request: Request,
): Promise<Response> {
  try {
    const verdict = await access(request);
    if (verdict instanceof Response) return verdict;
    const url = new URL(request.url);
    const parts = partsOf(url.pathname, base);
    if (parts === undefined) return toPage(base);
    const response = await serve(settings, parts, { request, url, ...verdict });
    return request.method === "HEAD" ? new Response(null, response) : response;
  } catch (error) {
    // What is not ours is the server's own fault, and its to report.
    if (!(error instanceof Error) || !("toProblem" in error)) throw error;
    const allow = error instanceof MethodError ? { allow: error.allow } : {};
    return problemResponse(error, { ...PAGE_HEADERS, ...allow });
  }
}

async function serve(settings: Settings, parts: readonly string[], asked: Asked): Promise<Response> {
  const [first = "", collection, name = "", part, id] = parts;
  const watched = settings.watched.get(name);
  if (first === "api" && collection === "queues" && watched !== undefined && parts.length <= 5) {
    if (part !== undefined && isAction(part) && id === undefined)
      return Response.json(await act(settings, watched.queue, part, asked), { headers: PAGE_HEADERS });
    assertGet(asked.request);
    if (part === undefined) return json(await queueView(settings, watched, asked));
    if (part === "tasks" && id === undefined) return json(await tasks(watched.queue, asked.url.searchParams));
    if (part === "tasks") return json(await taskView(settings, watched.queue, id!, asked));
  }
  const api = first === "api" && parts.length === 2 ? collection : undefined;
  const file = parts.length === 1 ? pageFile(first) : undefined;
  if (api !== "overview" && api !== "find" && file === undefined) throw nothingHere();
  assertGet(asked.request);
  if (api === "find") return json(await found(settings, asked.url.searchParams));
  return file ?? json(await overview(settings, asked));
}

async function act(settings: Settings, queue: Queue, action: Action, asked: Asked): Promise<ActionOutcome> {
  if (asked.request.method !== "POST") throw new MethodError("POST");
  assertOwnPage(asked.request, settings.allowedOrigins);
  if (asked.readOnly) throw new RequestError(403, "READ_ONLY", "you may look at these queues, and no more");
  return change(queue, action, asked.request, settings.clock);
}

async function taskView(settings: Settings, queue: Queue, id: string, asked: Asked): Promise<TaskView> {
  const view = await taskOf(queue, id, settings.showPayloads);
  return { ...settingsView(settings, asked), ...view };
}

async function overview(settings: Settings, asked: Asked): Promise<Overview> {
  const { watched, clock } = settings;
  const queues = [...watched.values()].map((one) =>
    summaryOf(one, clock, OVERVIEW_WINDOW_MS, POINTS.overview),
  );
  return { ...settingsView(settings, asked), queues: await Promise.all(queues) };
}

async function found({ watched }: Settings, parameters: URLSearchParams): Promise<FoundTask> {
  const id = parameters.get("id") ?? "";
  if (id === "" || id.length > MAX_ID)
    throw new RequestError(400, "BAD_ID", `id must have 1 to ${MAX_ID} characters`);
  return findTask(watched.values(), id);
}

async function queueView(settings: Settings, watched: Watched, asked: Asked): Promise<QueueView> {
  const { clock, showPayloads } = settings;
  const minutes = numberOf(asked.url.searchParams.get("minutes") ?? "15", 1, 60);
  const [queue, schedules] = await Promise.all([
    summaryOf(watched, clock, minutes * 60_000, POINTS.queue),
    schedulesOf(watched.queue, showPayloads).catch(() => []),
  ]);
  return { ...settingsView(settings, asked), queue, schedules };
}

async function tasks(queue: Queue, parameters: URLSearchParams): Promise<TaskList> {
  const state = STATES.find((one) => one === parameters.get("state"));
  if (state === undefined)
    throw new RequestError(400, "BAD_STATE", `state must be one of ${STATES.join(", ")}`);
  const max = numberOf(parameters.get("max") ?? String(TASKS.few), 1, TASKS.most);
  return listOf(queue, state, max, parameters.get("after") ?? undefined);
}

function settingsView(
  { title, clock }: Settings,
  { readOnly }: Asked,
): Pick<Overview, "title" | "readOnly" | "now"> {
  return { title, readOnly, now: clock.now() };
}

function json(body: Overview | FoundTask | QueueView | TaskList | TaskView): Response {
  return Response.json(body, { headers: PAGE_HEADERS });
}

/** The page lives in a folder of its own, so that its addresses can be relative. */
function toPage(base: string): Response {
  return new Response(null, {
    status: 302,
    headers: { ...PAGE_HEADERS, location: `${base.split("/").at(-1)}/` },
  });
}

/** What follows the base, decoded; nothing when that is without its slash. */
function partsOf(path: string, base: string): readonly string[] | undefined {
  if (path === base && base !== "") return undefined;
  if (!path.startsWith(`${base}/`)) throw nothingHere();
  try {
    return path
      .slice(base.length + 1)
      .split("/")
      .map(decodeURIComponent);
  } catch {
    throw nothingHere();
  }
}

function numberOf(text: string, min: number, max: number): number {
  const value = /^\d{1,6}$/.test(text) ? Number(text) : 0;
  if (value >= min && value <= max) return value;
  throw new RequestError(400, "BAD_NUMBER", `that must be a whole number from ${min} to ${max}`);
}

function nothingHere(): RequestError {
  return new RequestError(404, "NOT_FOUND", "there is nothing at this address");
}

function assertGet({ method }: Request): void {
  if (method !== "GET" && method !== "HEAD") throw new MethodError("GET");
}

class MethodError extends RequestError {
  constructor(readonly allow: "GET" | "POST") {
    super(405, "METHOD_NOT_ALLOWED", `only ${allow} can be done here`);
  }
}
