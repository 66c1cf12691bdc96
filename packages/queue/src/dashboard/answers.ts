// What the handler knows about queues and tasks, made fit to be shown: bounded, and without payloads unless they may be.
import type { Clock } from "@holdfast/core";
import { errorTypeOf } from "@holdfast/core";
import { TaskNotFoundError } from "../errors.ts";
import type { Queue } from "../queue/queue-contract.ts";
import type { QueueStats, StoredInput } from "../store/store.ts";
import type { TaskEvent, TaskState, TaskStatus } from "../task/task-status.ts";
import type { Sampler } from "./sampler.ts";
import type { CheckpointView, FoundTask, QueueSummary, ScheduleView, TaskList, TaskView } from "./views.ts";

/** A queue, and what was seen of it. */
export interface Watched {
  readonly queue: Queue;
  readonly sampler: Sampler;
}

const NONE: QueueStats = {
  scheduled: 0,
  waiting: 0,
  ready: 0,
  running: 0,
  completed: 0,
  failed: 0,
  cancelled: 0,
};
/** Longest text of one value, in characters. */
const MAX_TEXT = 2_000;
const MAX_VALUE = 20_000;
const MAX_EVENTS = 300;
const MAX_CHECKPOINTS = 500;
const MAX_CHILDREN = 200;

export async function summaryOf(
  { queue, sampler }: Watched,
  clock: Clock,
  windowMs: number,
  points: number,
): Promise<QueueSummary> {
  const { name } = queue;
  try {
    const [counts, { paused, headAddedAt }] = await Promise.all([queue.stats(), queue.meter()]);
    return {
      name,
      counts,
      paused,
      ...(headAddedAt === undefined ? {} : { headAgeMs: Math.max(0, clock.now() - headAddedAt) }),
      points: sampler.points(windowMs, points),
    };
  } catch (error) {
    // One store that is away must not hide the queues of another.
    return { name, error: errorTypeOf(error) ?? "unknown", counts: NONE, paused: false, points: [] };
  }
}

export async function schedulesOf(queue: Queue, showPayloads: boolean): Promise<readonly ScheduleView[]> {
  const schedules = await queue.schedules();
  return schedules.slice(0, 200).map(({ key, nextAt, text }) => ({
    key: cut(key),
    nextAt,
    ...(showPayloads ? { text: cut(text) } : {}),
  }));
}

export async function listOf(
  queue: Queue,
  state: TaskState,
  max: number,
  after: string | undefined,
): Promise<TaskList> {
  const found =
    state === "failed"
      ? await queue.deadLetters({ max: max + 1, ...(after === undefined ? {} : { after }) })
      : await queue.list(state, max + 1);
  return { state, tasks: found.slice(0, max).map(shown), more: found.length > max };
}

/** Looks for a task by its ID in all queues. */
export async function findTask(watched: Iterable<Watched>, id: string): Promise<FoundTask> {
  const [queues, silent]: [string[], string[]] = [[], []];
  const look = async ({ queue: { store, name } }: Watched): Promise<void> => {
    try {
      const [task] = await store.get(name, [id]);
      if (task !== undefined) queues.push(name);
    } catch {
      silent.push(name);
    }
  };
  await Promise.all(Array.from(watched, look));
  return { queues: queues.sort(), silent: silent.sort() };
}

/** @throws TaskNotFoundError */
export async function taskOf(
  queue: Queue,
  id: string,
  showPayloads: boolean,
): Promise<Omit<TaskView, "title" | "readOnly" | "now">> {
  const { store, name } = queue;
  const task = await queue.status(id);
  const after = Math.max(0, task.lastSeq - MAX_EVENTS);
  const [page, checkpoints, children, stored, result] = await Promise.all([
    store.events(name, id, after, MAX_EVENTS),
    store.checkpoints(name, id),
    store.children(name, id),
    showPayloads ? store.input(name, id) : undefined,
    showPayloads && task.state === "completed" ? queue.result(id) : undefined,
  ]);
  if (page === undefined) throw new TaskNotFoundError(id);
  const events = page.events.map((event) => bounded(event) as TaskEvent);
  const views: CheckpointView[] = [];
  for (const { name: step, value } of checkpoints.slice(-MAX_CHECKPOINTS)) {
    const payload = (): unknown => queue.payloads.read(value, { id, part: "checkpoint", name: step });
    views.push({ name: cut(step), ...(showPayloads ? { value: await textOf(payload) } : {}) });
  }
  return {
    queue: name,
    task: shown(task),
    events,
    eventsBefore: Math.max(0, (events[0]?.seq ?? task.lastSeq + 1) - 1),
    checkpoints: views,
    children: children.slice(0, MAX_CHILDREN).map(shown),
    ...(stored === undefined ? {} : { input: await textOf(() => inputOf(queue, id, stored)) }),
    ...(result === undefined ? {} : { result: await textOf(() => result.value) }),
  };
}

/** As it was given; without its definition, it stays in its version. */
function inputOf({ payloads }: Queue, id: string, { name, input }: StoredInput): unknown {
  return payloads.read(input, { id, part: "input", name });
}

/** A task as it is shown: nothing in it is long. */
function shown(task: TaskStatus): TaskStatus {
  return bounded(task) as TaskStatus;
}

/** The same with its long texts cut, at any depth; what is reported of progress may be any JSON. */
function bounded(value: unknown): unknown {
  if (typeof value === "string") return cut(value);
  if (Array.isArray(value)) return value.slice(0, 100).map(bounded);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .slice(0, 100)
      .map(([key, inner]) => [cut(key), bounded(inner)]),
  );
}

async function textOf(read: () => unknown): Promise<string> {
  try {
    const value = await read();
    const text = JSON.stringify(value, (_, inner: unknown) =>
      inner instanceof Uint8Array ? `${inner.byteLength} bytes` : inner,
    );
    return cut(text ?? "nothing", MAX_VALUE);
  } catch (error) {
    return `cannot be read: ${errorTypeOf(error)}`;
  }
}

function cut(text: string, max: number = MAX_TEXT): string {
  return text.length <= max ? text : `${text.slice(0, max)}…`;
}
