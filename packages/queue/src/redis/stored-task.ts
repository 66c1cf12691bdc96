// Tasks, payloads and statuses as they are written to Redis and read from it.
import type { Payload } from "../payload.ts";
import type { ClaimedTask, NewTask } from "../store.ts";
import type { TaskFailure, TaskPhase, TaskState, TaskStatus } from "../task-status.ts";

/** States by number, from 1. */
export const STATES = ["scheduled", "ready", "running", "completed", "failed", "cancelled"] as const;

/** Before a name that UTF-8 cannot say. */
const ESCAPE = "\u0001";
const NO_BLOBS: readonly Uint8Array[] = [];

/** A name (an ID, a dedup key, a group, a worker) as text that survives UTF-8, and no two of them the same. */
export function toName(text: string): string {
  return isWellFormed(text) && !text.startsWith(ESCAPE) ? text : ESCAPE + JSON.stringify(text);
}

export function fromName(stored: string): string {
  return stored.startsWith(ESCAPE) ? (JSON.parse(stored.slice(1)) as string) : stored;
}

/** Text alone after "t"; with bytes, JSON of both after "b". */
export function toStoredPayload({ text, blobs }: Payload): string {
  if (blobs.length === 0 && isWellFormed(text)) return `t${text}`;
  return `b${JSON.stringify([text, ...blobs.map((blob) => Buffer.from(blob).toString("base64"))])}`;
}

export function fromStoredPayload(stored: string): Payload {
  if (stored.startsWith("t")) return { text: stored.slice(1), blobs: NO_BLOBS };
  const [text = "", ...blobs] = JSON.parse(stored.slice(1)) as readonly string[];
  return { text, blobs: blobs.map((blob) => new Uint8Array(Buffer.from(blob, "base64"))) };
}

/** What a worker needs to know of a task besides its lease: a line of JSON, the same for many tasks, and the payload. */
export function toStoredInput({ name, maxAttempts, input }: NewTask): string {
  return `${JSON.stringify([name, maxAttempts])}\n${toStoredPayload(input)}`;
}

/** Words of the answer for each claimed task. */
export const CLAIM_WORDS = 5;

export function claimedTasks(words: readonly unknown[]): readonly ClaimedTask[] {
  const claimed: ClaimedTask[] = [];
  let head = "";
  let name = "";
  let maxAttempts = 0;
  for (let at = 0; at < words.length; at += CLAIM_WORDS) {
    const stored = words[at + 4] as string;
    const line = stored.slice(0, stored.indexOf("\n"));
    if (line !== head) {
      head = line;
      [name, maxAttempts] = JSON.parse(line) as [string, number];
    }
    claimed.push({
      id: fromName(words[at] as string),
      fence: words[at + 1] as number,
      attempt: words[at + 2] as number,
      backoffState: Number(words[at + 3]),
      name,
      maxAttempts,
      input: fromStoredPayload(stored.slice(line.length + 1)),
    });
  }
  return claimed;
}

/** A status from the script's answer; 0 stands for no task. */
export function statusOf(id: string, answer: unknown): TaskStatus | undefined {
  if (answer === 0) return undefined;
  const [
    state,
    due,
    enqueuedAt,
    startedAt,
    finishedAt,
    attempt,
    maxAttempts,
    leaseLosses,
    lastSeq,
    priority,
    worker,
    name,
    isGrouped,
    group,
    progress,
    failure,
    reason,
  ] = answer as StatusWords;
  const error = failure === "" ? undefined : (JSON.parse(failure) as TaskFailure);
  return {
    ...phaseOf(STATES[state - 1]!, due, startedAt, finishedAt, fromName(worker), error, reason),
    id,
    name: fromName(name),
    priority,
    enqueuedAt,
    attempt,
    maxAttempts,
    leaseLosses,
    lastSeq,
    ...(isGrouped === 1 ? { group: fromName(group) } : {}),
    ...(progress === "" ? {} : { progress: JSON.parse(progress) as unknown }),
    ...(error === undefined ? {} : { lastError: error }),
  };
}

function phaseOf(
  state: TaskState,
  due: number,
  startedAt: number,
  finishedAt: number,
  worker: string,
  error: TaskFailure | undefined,
  reason: string,
): TaskPhase {
  switch (state) {
    case "scheduled":
      return { state, dueAt: due };
    case "ready":
      return { state };
    case "running":
      return { state, startedAt, worker, leaseEndsAt: due };
    case "completed":
      return { state, finishedAt };
    case "failed":
      return { state, finishedAt, error: error! };
    case "cancelled":
      return { state, finishedAt, reason: fromName(reason) };
  }
}

/** As the script's `status_of` answers. */
type StatusWords = readonly [
  ...numbers: [number, number, number, number, number, number, number, number, number, number],
  worker: string,
  name: string,
  isGrouped: number,
  group: string,
  progress: string,
  failure: string,
  reason: string,
];

function isWellFormed(text: string): boolean {
  return !/\p{Surrogate}/u.test(text);
}
