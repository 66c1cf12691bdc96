// The rules of one idempotency key as pure functions of its record and the time. Every store follows them.
import type { BeginOutcome, BeginRequest, RecoveryPoint, WriteOutcome } from "./store.ts";

/** What is known about a key. */
export interface KeyRecord {
  readonly fingerprint: string;
  readonly state: "held" | "open" | "done";
  /** Of the latest holder. */
  readonly fence: number;
  readonly owner: string;
  /** When the lock of a held key runs out. At that moment it has. */
  readonly lockedUntil: number;
  /** When the key is forgotten, unless it is held then. */
  readonly expiresAt: number;
  /** How long it is remembered after a write, in milliseconds. */
  readonly ttlMs: number;
  /** Whether an attempt ended without a word since the last recovery point. */
  readonly doubt: boolean;
  readonly point: RecoveryPoint | undefined;
  readonly result: string | undefined;
}

/** A verb's answer, and the record after it; the same object when nothing has changed. */
export interface Transition<Outcome> {
  readonly record: KeyRecord | undefined;
  readonly outcome: Outcome;
}

/** Whether the record counts: its time is not over, or somebody holds it. */
export function isRemembered(record: KeyRecord, now: number): boolean {
  return now < record.expiresAt || isLocked(record, now);
}

/** @param nextFence - Draws a fence greater than all before; called when the key is handed out. */
export function begin(
  known: KeyRecord | undefined,
  request: BeginRequest,
  now: number,
  nextFence: () => number,
): Transition<BeginOutcome> {
  const record = known !== undefined && isRemembered(known, now) ? known : undefined;
  if (record === undefined) return acquire(undefined, request, now, nextFence());
  if (record.fingerprint !== request.fingerprint) return { record, outcome: { kind: "mismatch" } };
  if (record.state === "done") return { record, outcome: { kind: "replay", result: record.result ?? "" } };
  if (isLocked(record, now)) {
    // The reply to its first `begin` was lost.
    if (record.owner === request.owner) return { record, outcome: acquiredOf(record) };
    return { record, outcome: { kind: "inFlight", retryAfterMs: record.lockedUntil - now } };
  }
  if (isDoubtful(record) && !request.takeDoubtful)
    return { record, outcome: { kind: "inDoubt", fence: record.fence } };
  return acquire(record, request, now, nextFence());
}

export function renew(
  known: KeyRecord | undefined,
  fence: number,
  lockTtlMs: number,
  now: number,
): Transition<WriteOutcome> {
  const record = heldBy(known, fence, now);
  if (record === undefined) return { record: known, outcome: "lost" };
  return { record: { ...touched(record, now), lockedUntil: now + lockTtlMs }, outcome: "ok" };
}

export function checkpoint(
  known: KeyRecord | undefined,
  fence: number,
  point: RecoveryPoint,
  lockTtlMs: number,
  now: number,
): Transition<WriteOutcome> {
  const record = heldBy(known, fence, now);
  if (record === undefined) return { record: known, outcome: "lost" };
  const held = { ...touched(record, now), lockedUntil: now + lockTtlMs };
  return { record: { ...held, point, doubt: false }, outcome: "ok" };
}

export function complete(
  known: KeyRecord | undefined,
  fence: number,
  result: string,
  ttlMs: number,
  now: number,
): Transition<WriteOutcome> {
  if (isSettledBy(known, fence, "done", now)) return { record: known, outcome: "ok" };
  const record = heldBy(known, fence, now);
  if (record === undefined) return { record: known, outcome: "lost" };
  const done = { ...record, state: "done", result, point: undefined, doubt: false, ttlMs } as const;
  return { record: touched(done, now), outcome: "ok" };
}

export function fail(
  known: KeyRecord | undefined,
  fence: number,
  retryable: boolean,
  now: number,
): Transition<WriteOutcome> {
  if (isSettledBy(known, fence, "open", now)) return { record: known, outcome: "ok" };
  const record = heldBy(known, fence, now);
  if (record === undefined) return { record: known, outcome: "lost" };
  return {
    record: { ...touched(record, now), state: "open", doubt: record.doubt || !retryable },
    outcome: "ok",
  };
}

export function release(known: KeyRecord | undefined, owner: string): KeyRecord | undefined {
  if (known?.state !== "held" || known.owner !== owner) return known;
  return { ...known, state: "open" };
}

function acquire(
  before: KeyRecord | undefined,
  request: BeginRequest,
  now: number,
  fence: number,
): Transition<BeginOutcome> {
  const record: KeyRecord = {
    fingerprint: request.fingerprint,
    state: "held",
    fence,
    owner: request.owner,
    lockedUntil: now + request.lockTtlMs,
    expiresAt: now + request.ttlMs,
    ttlMs: request.ttlMs,
    doubt: before !== undefined && isDoubtful(before),
    point: before?.point,
    result: undefined,
  };
  return { record, outcome: acquiredOf(record) };
}

function acquiredOf({ fence, doubt, point }: KeyRecord): BeginOutcome {
  return { kind: "acquired", fence, doubt, ...(point === undefined ? {} : { point }) };
}

// A held key got here because its lock ran out: its holder never said how it ended.
function isDoubtful(record: KeyRecord): boolean {
  return record.point === undefined && (record.doubt || record.state === "held");
}

function isLocked(record: KeyRecord, now: number): boolean {
  return record.state === "held" && now < record.lockedUntil;
}

// A lock that has run out, and that nobody has taken over, is still its holder's to write under.
function heldBy(record: KeyRecord | undefined, fence: number, now: number): KeyRecord | undefined {
  const held = record?.state === "held" && record.fence === fence && isRemembered(record, now);
  return held ? record : undefined;
}

function isSettledBy(
  record: KeyRecord | undefined,
  fence: number,
  state: "open" | "done",
  now: number,
): boolean {
  return record?.state === state && record.fence === fence && isRemembered(record, now);
}

function touched(record: KeyRecord, now: number): KeyRecord {
  return { ...record, expiresAt: now + record.ttlMs };
}
