// What is asked of the script in words, and what its answers mean.
import type {
  Checkpoint,
  ClaimRequest,
  EnqueueOutcome,
  LeaseRef,
  RevokedLease,
  Settlement,
  WriteOutcome,
} from "../store/store.ts";
import { fromName, toName, toStoredPayload } from "./stored-task.ts";
import type { Word } from "./word.ts";

export const WRITTEN: WriteOutcome = { written: true };
const LEASE_LOST: WriteOutcome = { written: false, cause: "lease_lost" };
const NO_PARENT = 2;

export function enqueueOutcome(id: string, outcome: number | string): EnqueueOutcome {
  if (typeof outcome === "string") return { outcome: "duplicate", id: fromName(outcome) };
  if (outcome === NO_PARENT) return { outcome: "no_parent", id };
  return { outcome: outcome === 0 ? "enqueued" : "exists", id };
}

export function claimWords({ worker, max, leaseMs }: ClaimRequest): readonly Word[] {
  return [toName(worker), max, whole(leaseMs)];
}

/** Completions in a row are said as one. */
export function settlementWords(settlements: readonly Settlement[]): Word[] {
  const words: Word[] = ["settle", settlements.length];
  let countAt = -1;
  let count = 0;
  for (const settlement of settlements) {
    if (settlement.kind !== "complete") {
      countAt = -1;
      pushOther(words, settlement);
      continue;
    }
    if (countAt === -1) {
      countAt = words.push("c", 0) - 1;
      count = 0;
    }
    words[countAt] = count += 1;
    words.push(toName(settlement.id), settlement.fence, toStoredPayload(settlement.result));
  }
  return words;
}

function pushOther(words: Word[], settlement: Exclude<Settlement, { readonly kind: "complete" }>): void {
  const id = toName(settlement.id);
  const { fence, kind } = settlement;
  if (kind === "release") words.push("r", id, fence);
  else if (kind === "suspend") {
    const { events, children, delayMs } = settlement;
    const until = {
      ...(events === undefined ? {} : { e: events.map(toName) }),
      ...(children === true ? { c: 1 } : {}),
      ...(delayMs === undefined ? {} : { d: whole(delayMs) }),
    };
    const happened = {
      ...(events === undefined ? {} : { events }),
      ...(children === true ? { children } : {}),
      ...(delayMs === undefined ? {} : { delayMs }),
    };
    words.push("s", id, fence, JSON.stringify(until), eventBody("suspended", happened));
  } else {
    const error = JSON.stringify(settlement.error);
    const { retry } = settlement;
    if (retry === undefined) words.push("f", id, fence, error);
    else {
      const { delayMs, backoffState } = retry;
      words.push("t", id, fence, error, whole(delayMs), JSON.stringify(delayMs), backoffState);
    }
  }
}

/** What stands behind `"type":` in the JSON of an event. */
function eventBody(type: string, fields: object): string {
  return JSON.stringify({ type, ...fields }).slice('{"type":'.length, -1);
}

export function checkpointWords({ id, fence }: LeaseRef, checkpoints: readonly Checkpoint[]): Word[] {
  const words: Word[] = ["checkpoint", toName(id), fence, checkpoints.length];
  for (const checkpoint of checkpoints) words.push(...recordWords(checkpoint));
  return words;
}

export function recordWords({ name, value }: Checkpoint): readonly Word[] {
  return [toName(name), JSON.stringify(name), toStoredPayload(value)];
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
