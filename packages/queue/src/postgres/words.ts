// What is asked of the functions in words, and what their answers mean.
import { fromStoredText, toStoredText } from "@holdfast/core/postgres";
import type {
  Checkpoint,
  ClaimRequest,
  EnqueueOutcome,
  NewTask,
  Settlement,
  WriteOutcome,
} from "../store/store.ts";
import { turnCost } from "../store/store.ts";
import type { TaskEventBody } from "../task/task-status.ts";
import { toStoredPayload } from "./stored-task.ts";

export const WRITTEN: WriteOutcome = { written: true };
const LEASE_LOST: WriteOutcome = { written: false, cause: "lease_lost" };

/** Durations are given in whole milliseconds; any other is made longer. */
export const whole: (ms: number) => number = Math.ceil;

/** New tasks as the parameters of `enqueue` in SQL; what many have in common is said once. */
export function enqueueWords(tasks: readonly NewTask[]): readonly unknown[] {
  const kinds = new Map<string, number>();
  const texts: string[] = [];
  const numbers: number[] = [];
  const ids: string[] = [];
  const inputs: string[] = [];
  const bytes: (string | null)[] = [];
  for (const task of tasks) {
    const key = kindKey(task);
    let kind = kinds.get(key);
    if (kind === undefined) {
      kind = kinds.size + 1;
      kinds.set(key, kind);
      texts.push(kindText(task));
    }
    const [text, blobs] = toStoredPayload(task.input);
    numbers.push(kind);
    ids.push(toStoredText(task.id));
    inputs.push(text);
    bytes.push(blobs);
  }
  return [
    isDistinct(tasks),
    `[${texts.join()}]`,
    textArray(ids),
    `{${numbers.join()}}`,
    textArray(inputs),
    sparse(bytes),
    sparse(tasks.map(({ dedupKey }) => stored(dedupKey))),
    sparse(tasks.map(({ meta }) => stored(meta))),
  ];
}

/** Whether no two of them have anything in common that could keep one of them out. */
function isDistinct(tasks: readonly NewTask[]): boolean {
  const ids = new Set<string>();
  const keys = new Set<string>();
  let keyed = 0;
  for (const { id, dedupKey, parent, waitsForChildren } of tasks) {
    if (parent !== undefined || waitsForChildren === true) return false;
    ids.add(id);
    if (dedupKey === undefined) continue;
    keyed += 1;
    keys.add(dedupKey);
  }
  return ids.size === tasks.length && keys.size === keyed;
}

function kindKey(task: NewTask): string {
  const { delayMs, priority, maxAttempts, maxLeaseLosses, keepMs, keepFailedMs, expireMs, weight, name } =
    task;
  const numbers = `${delayMs},${priority},${maxAttempts},${maxLeaseLosses},${keepMs},${keepFailedMs},${expireMs},${weight}`;
  const { group, groupLimit, tenant, parent, waitsForChildren } = task;
  if (group === undefined && tenant === undefined && parent === undefined && waitsForChildren === undefined)
    return `${numbers},${name}`;
  return JSON.stringify([numbers, name, group, groupLimit, tenant, parent, waitsForChildren]);
}

function kindText(task: NewTask): string {
  const { groupLimit } = task;
  return JSON.stringify({
    name: toStoredText(task.name),
    delay: whole(task.delayMs),
    priority: task.priority,
    attempts: task.maxAttempts,
    losses: task.maxLeaseLosses,
    keep: whole(task.keepMs),
    keep_failed: whole(task.keepFailedMs),
    expire: task.expireMs === undefined ? undefined : whole(task.expireMs),
    grp: stored(task.group) ?? undefined,
    limit: groupLimit,
    tenant: stored(task.tenant) ?? undefined,
    cost: turnCost(task.weight ?? 1),
    parent: stored(task.parent) ?? undefined,
    waits: task.waitsForChildren,
  });
}

export function enqueueOutcome(id: string, answer: string): EnqueueOutcome {
  if (answer.startsWith("=")) return { outcome: "duplicate", id: fromStoredText(answer.slice(1)) };
  return { outcome: answer === "0" ? "enqueued" : answer === "1" ? "exists" : "no_parent", id };
}

export type Words = readonly unknown[];

/** Settlements as words: completions apart, of tasks that are settled once; and where each answer belongs. */
export interface SettleWords {
  readonly words: Words;
  /** Places of the completions, then of the others. */
  readonly places: readonly [readonly number[], readonly number[]];
}

export function settleWords(
  settlements: readonly Settlement[],
  claim: ClaimRequest | undefined,
): SettleWords {
  const times = new Map<string, number>();
  for (const { id } of settlements) times.set(id, (times.get(id) ?? 0) + 1);
  const completions: [string[], string[], string[], (string | null)[]] = [[], [], [], []];
  const others: unknown[] = [];
  const places: [number[], number[]] = [[], []];
  for (const [place, settlement] of settlements.entries()) {
    const { id, fence, kind } = settlement;
    if (kind === "complete" && times.get(id) === 1) {
      const [text, bytes] = toStoredPayload(settlement.result);
      completions[0].push(toStoredText(id));
      completions[1].push(String(fence));
      completions[2].push(text);
      completions[3].push(bytes);
      places[0].push(place);
    } else {
      others.push(settlementWords(settlement));
      places[1].push(place);
    }
  }
  const asked = claim === undefined ? null : [toStoredText(claim.worker), claim.max, whole(claim.leaseMs)];
  return { words: ["settle", places[0].length === 0 ? null : completions, others, asked], places };
}

function settlementWords(settlement: Settlement): Words {
  const lease = [settlement.kind, toStoredText(settlement.id), settlement.fence];
  switch (settlement.kind) {
    case "complete":
      return [...lease, ...toStoredPayload(settlement.result)];
    case "release":
      return lease;
    case "fail": {
      const { error, retry } = settlement;
      if (retry === undefined) return [...lease, JSON.stringify(error)];
      const { delayMs, backoffState } = retry;
      const event = eventText({ type: "retrying", delayMs, error });
      return [...lease, JSON.stringify(error), event, whole(delayMs), backoffState];
    }
    case "suspend": {
      const { events, children, delayMs } = settlement;
      const body = {
        type: "suspended",
        ...(events === undefined ? {} : { events }),
        ...(children === true ? { children } : {}),
        ...(delayMs === undefined ? {} : { delayMs }),
      } as const;
      return [
        ...lease,
        eventText(body),
        events?.map(toStoredText) ?? null,
        children === true,
        delayMs === undefined ? null : whole(delayMs),
      ];
    }
  }
}

/** In the order of the settlements. */
export function settleOutcomes(
  { places }: SettleWords,
  [completed, others]: readonly [1 | readonly (0 | 1 | string)[], readonly (0 | 1 | string)[]],
): readonly WriteOutcome[] {
  const outcomes: WriteOutcome[] = [];
  for (const [index, place] of places[0].entries())
    outcomes[place] = completed === 1 ? WRITTEN : writeOutcome(completed[index]!);
  for (const [index, place] of places[1].entries()) outcomes[place] = writeOutcome(others[index]!);
  return outcomes;
}

export function writeOutcome(answer: 0 | 1 | string): WriteOutcome {
  if (answer === 1) return WRITTEN;
  if (answer === 0) return LEASE_LOST;
  return { written: false, cause: "cancelled", reason: fromStoredText(answer.slice(1)) };
}

export function checkpointWords({ name, value }: Checkpoint, type: "checkpoint" | "signalled"): Words {
  return [toStoredText(name), ...toStoredPayload(value), eventText({ type, name })];
}

export function eventText(body: TaskEventBody): string {
  return JSON.stringify(body);
}

/** Text as PostgreSQL keeps it, or nothing. */
export function stored(text: string | undefined): string | null {
  return text === undefined ? null : toStoredText(text);
}

/** Nothing at all when there is nothing in it. */
function sparse(texts: readonly (string | null)[]): string | null {
  return texts.every((text) => text === null) ? null : textArray(texts);
}

/** An array as PostgreSQL reads it. */
function textArray(texts: readonly (string | null)[]): string {
  return `{${texts.map((text) => (text === null ? "NULL" : `"${text.replace(/["\\]/g, "\\$&")}"`)).join()}}`;
}
