// What the script says of a task, as a status.
import type { TaskFailure, TaskPhase, TaskStatus } from "../task/task-status.ts";
import { fromName } from "./stored-task.ts";

/** States by number, from 1. */
export const STATES = [
  "scheduled",
  "waiting",
  "ready",
  "running",
  "completed",
  "failed",
  "cancelled",
] as const;

/** When a wait is over that has no end. */
const NEVER = 2 ** 52;

/** A status from the script's answer; 0 stands for no task. */
export function statusOf(id: string, answer: unknown): TaskStatus | undefined {
  if (answer === 0) return undefined;
  const [numbers, worker, name, ...texts] = answer as StatusWords;
  const [
    state,
    due,
    startedAt,
    finishedAt,
    priority,
    enqueuedAt,
    attempt,
    maxAttempts,
    leaseLosses,
    lastSeq,
  ] = numbers;
  const [group, tenant, parent, progress, failure, ...phase] = texts;
  const error = failure === null ? undefined : (JSON.parse(failure) as TaskFailure);
  return {
    ...phaseOf(STATES[state - 1]!, { due, startedAt, finishedAt, worker: fromName(worker), error }, phase),
    id,
    name: fromName(name),
    priority,
    enqueuedAt,
    attempt,
    maxAttempts,
    leaseLosses,
    lastSeq,
    ...(group === null ? {} : { group: fromName(group) }),
    ...(tenant === null ? {} : { tenant: fromName(tenant) }),
    ...(parent === null ? {} : { parent: fromName(parent) }),
    ...(progress === null ? {} : { progress: JSON.parse(progress) as unknown }),
    ...(error === undefined ? {} : { lastError: error }),
  };
}

/** Statuses from a list of IDs and statuses. */
export function statusesOf(answer: unknown): readonly TaskStatus[] {
  const found = answer as readonly (readonly [string, unknown])[];
  return found.map(([id, status]) => statusOf(fromName(id), status)!);
}

interface PhaseParts {
  readonly due: number;
  readonly startedAt: number;
  readonly finishedAt: number;
  readonly worker: string;
  readonly error: TaskFailure | undefined;
}

function phaseOf(
  state: (typeof STATES)[number],
  { due, startedAt, finishedAt, worker, error }: PhaseParts,
  [reason, events, children]: PhaseTexts,
): TaskPhase {
  switch (state) {
    case "scheduled":
      return { state, dueAt: due };
    case "waiting":
      return {
        state,
        ...(events === null ? {} : { events: events.map(fromName) }),
        ...(children === null ? {} : { children: true }),
        ...(due === NEVER ? {} : { dueAt: due }),
      };
    case "ready":
      return { state };
    case "running":
      return { state, startedAt, worker, leaseEndsAt: due };
    case "completed":
      return { state, finishedAt };
    case "failed":
      return { state, finishedAt, error: error! };
    case "cancelled":
      return { state, finishedAt, reason: fromName(reason!) };
  }
}

type PhaseTexts = readonly [reason: string | null, events: readonly string[] | null, children: number | null];

/** As the script's `status_of` answers. */
type StatusWords = readonly [
  numbers: readonly [
    state: number,
    due: number,
    startedAt: number,
    finishedAt: number,
    priority: number,
    enqueuedAt: number,
    attempt: number,
    maxAttempts: number,
    leaseLosses: number,
    lastSeq: number,
  ],
  worker: string,
  name: string,
  group: string | null,
  tenant: string | null,
  parent: string | null,
  progress: string | null,
  failure: string | null,
  ...phase: PhaseTexts,
];
