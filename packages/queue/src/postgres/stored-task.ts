// Tasks, payloads and statuses as they are written to PostgreSQL and read from it.
import { fromStoredText, toStoredText } from "@holdfast/core/postgres";
import type { ClaimedTask } from "../store/store.ts";
import type { Payload } from "../task/payload.ts";
import type { TaskEvent, TaskEventBody, TaskFailure, TaskPhase, TaskStatus } from "../task/task-status.ts";
import { STATES } from "./schema.ts";

const NO_BLOBS: readonly Uint8Array[] = [];

/**
 * A payload as text and, in Base64, the bytes of its blobs behind one another; then the text begins with a line that says
 * how long each is.
 */
export function toStoredPayload({ text, blobs }: Payload): readonly [text: string, bytes: string | null] {
  if (blobs.length === 0) return [toStoredText(text), null];
  const sizes = blobs.map(({ byteLength }) => byteLength);
  return [`${sizes.join()}\n${toStoredText(text)}`, Buffer.concat(blobs).toString("base64")];
}

export function fromStoredPayload(stored: string, base64: string | null): Payload {
  if (base64 === null) return { text: fromStoredText(stored), blobs: NO_BLOBS };
  const lineEnd = stored.indexOf("\n");
  const bytes = Buffer.from(base64, "base64");
  let at = 0;
  const blobs = stored
    .slice(0, lineEnd)
    .split(",")
    .map((size) => new Uint8Array(bytes.subarray(at, (at += Number(size)))));
  return { text: fromStoredText(stored.slice(lineEnd + 1)), blobs };
}

/** As `claim` in SQL answers for each task. */
export type ClaimRow = readonly [
  id: string,
  fence: number,
  attempt: number,
  backoffState: number,
  name: string,
  maxAttempts: number,
  meta: string | null,
  checkpoints: number,
  input: string,
  bytes: string | null,
];

export function claimedTask([
  id,
  fence,
  attempt,
  backoffState,
  name,
  maxAttempts,
  meta,
  checkpoints,
  ...input
]: ClaimRow): ClaimedTask {
  return {
    id: fromStoredText(id),
    fence,
    name: fromStoredText(name),
    input: fromStoredPayload(...input),
    attempt,
    maxAttempts,
    backoffState,
    checkpoints,
    ...(meta === null ? {} : { meta: fromStoredText(meta) }),
  };
}

/** As `status` in SQL answers; null where there is nothing. */
export type StatusRow = readonly [
  id: string,
  state: number,
  due: number,
  addedAt: number,
  startedAt: number,
  finishedAt: number,
  attempt: number,
  maxAttempts: number,
  losses: number,
  seq: number,
  priority: number,
  worker: string | null,
  name: string,
  group: string | null,
  progress: string | null,
  error: string | null,
  reason: string | null,
  tenant: string | null,
  parent: string | null,
  waitEvents: readonly string[] | null,
  waitChildren: boolean | null,
  wakeAt: number | null,
];

export function taskStatus(row: StatusRow): TaskStatus {
  const [id, , , enqueuedAt, , , attempt, maxAttempts, leaseLosses, lastSeq, priority] = row;
  const [name, group, progress, failure, , tenant, parent] = row.slice(12) as unknown as Names;
  const error = failure === null ? undefined : (JSON.parse(failure) as TaskFailure);
  return {
    ...phaseOf(row, error),
    id: fromStoredText(id),
    name: fromStoredText(name),
    priority,
    enqueuedAt,
    attempt,
    maxAttempts,
    leaseLosses,
    lastSeq,
    ...(group === null ? {} : { group: fromStoredText(group) }),
    ...(tenant === null ? {} : { tenant: fromStoredText(tenant) }),
    ...(parent === null ? {} : { parent: fromStoredText(parent) }),
    ...(progress === null ? {} : { progress: JSON.parse(progress) as unknown }),
    ...(error === undefined ? {} : { lastError: error }),
  };
}

type Names = readonly [
  name: string,
  group: string | null,
  progress: string | null,
  error: string | null,
  reason: string | null,
  tenant: string | null,
  parent: string | null,
];

function phaseOf(row: StatusRow, error: TaskFailure | undefined): TaskPhase {
  const [, state, due, , startedAt, finishedAt] = row;
  const wakeAt = row[21];
  switch (STATES[state]) {
    case "SCHEDULED":
      return { state: "scheduled", dueAt: wakeAt ?? due };
    case "WAITING":
      return {
        state: "waiting",
        ...(row[19] === null ? {} : { events: row[19].map(fromStoredText) }),
        ...(row[20] === true ? { children: true } : {}),
        ...(wakeAt === null ? {} : { dueAt: wakeAt }),
      };
    case "RUNNING":
    case "LEAVING":
      return { state: "running", startedAt, worker: fromStoredText(row[11] ?? ""), leaseEndsAt: due };
    case "COMPLETED":
      return { state: "completed", finishedAt };
    case "FAILED":
      return { state: "failed", finishedAt, error: error! };
    case "CANCELLED":
      return { state: "cancelled", finishedAt, reason: fromStoredText(row[16] ?? "") };
    case "ENTERING":
    case "READY":
    case "HELD_BACK":
    case undefined:
      break;
  }
  return { state: "ready" };
}

export function taskEvent([seq, at, body]: readonly [number, number, string]): TaskEvent {
  return { ...(JSON.parse(body) as TaskEventBody), seq, at };
}
