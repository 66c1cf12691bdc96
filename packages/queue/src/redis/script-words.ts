// What is asked of the script in words, and what its answers mean.
import type {
  ClaimRequest,
  EnqueueOutcome,
  NewTask,
  RevokedLease,
  Settlement,
  WriteOutcome,
} from "../store.ts";
import { fromName, toName, toStoredInput, toStoredPayload } from "./stored-task.ts";
import type { Word } from "./word.ts";

export const WRITTEN: WriteOutcome = { written: true };
const LEASE_LOST: WriteOutcome = { written: false, cause: "lease_lost" };

/** Tasks of several callers, who each want all of theirs added or none. What many have in common is said once. */
export function enqueueWords(calls: readonly (readonly NewTask[])[], limit: number): readonly Word[] {
  const kinds = new Map<string, number>();
  const kindWords: Word[] = [];
  const taskWords: Word[] = [];
  let count = 0;
  for (const tasks of calls)
    for (const task of tasks) {
      const { id, name, delayMs, priority, maxAttempts, maxLeaseLosses, keepMs, keepFailedMs } = task;
      const { dedupKey, group } = task;
      const numbers = `${priority},${maxAttempts},${maxLeaseLosses},${keepMs},${keepFailedMs}`;
      const kind = `${delayMs},${numbers},${name}`;
      let place = kinds.get(kind);
      if (place === undefined) {
        place = kinds.size + 1;
        kinds.set(kind, place);
        kindWords.push(toName(name), whole(delayMs), priority, maxAttempts, maxLeaseLosses);
        kindWords.push(whole(keepMs), whole(keepFailedMs));
      }
      const extras = (dedupKey === undefined ? 0 : 1) + (group === undefined ? 0 : 2);
      taskWords.push(toName(id), place, toStoredInput(task), extras);
      if (dedupKey !== undefined) taskWords.push(toName(dedupKey));
      if (group !== undefined) taskWords.push(toName(group));
      count += 1;
    }
  const sizes = calls.map(({ length }) => length);
  return ["enqueue", limit, calls.length, ...sizes, kinds.size, ...kindWords, count].concat(taskWords);
}

export function enqueueOutcome(id: string, outcome: number | string): EnqueueOutcome {
  if (typeof outcome === "string") return { outcome: "duplicate", id: fromName(outcome) };
  return { outcome: outcome === 0 ? "enqueued" : "exists", id };
}

export function claimWords({ worker, max, leaseMs }: ClaimRequest): readonly Word[] {
  return [toName(worker), max, whole(leaseMs)];
}

export function pushSettlement(words: Word[], settlement: Settlement): void {
  const id = toName(settlement.id);
  const { fence } = settlement;
  if (settlement.kind === "complete") words.push("c", id, fence, toStoredPayload(settlement.result));
  else if (settlement.kind === "release") words.push("r", id, fence);
  else {
    const error = JSON.stringify(settlement.error);
    const { retry } = settlement;
    if (retry === undefined) words.push("f", id, fence, error);
    else
      words.push(
        "t",
        id,
        fence,
        error,
        whole(retry.delayMs),
        JSON.stringify(retry.delayMs),
        retry.backoffState,
      );
  }
}

export function writeOutcome(answer: unknown): WriteOutcome {
  if (answer === 1) return WRITTEN;
  if (answer === 0) return LEASE_LOST;
  const [reason] = answer as readonly [string];
  return { written: false, cause: "cancelled", reason: fromName(reason) };
}

export function revokedLeases(json: string | undefined): readonly RevokedLease[] {
  const leases = JSON.parse(json ?? "[]") as readonly (readonly [string, string, string])[];
  return leases.map(([id, fence, reason]) => ({
    id: fromName(id),
    fence: Number(fence),
    reason: fromName(reason),
  }));
}

export function idWords(ids: readonly string[]): readonly Word[] {
  return [ids.length, ...ids.map(toName)];
}

/** Durations are given in whole milliseconds; any other is made longer. */
export const whole: (ms: number) => number = Math.ceil;
