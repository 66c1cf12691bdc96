// The rules of one shared circuit as pure functions of its record and the time. Every store follows them.
import type {
  CircuitVote,
  FleetCircuit,
  FleetOpenTime,
  ProbeAnswer,
  ProbeEnd,
  ProbeEndAnswer,
  ProbeRequest,
} from "./store.ts";

/** What is known about a circuit. Times are the store's, in milliseconds. */
export interface FleetRecord {
  readonly generation: number;
  readonly open: boolean;
  readonly openUntil: number;
  readonly opens: number;
  readonly lastOpenMs: number;
  readonly closedAt: number;
  /** Until when each vote counts, by voter. */
  readonly votes: ReadonlyMap<string, number>;
  /** Until when each lease lasts, by token. */
  readonly leases: ReadonlyMap<string, number>;
  readonly probed: number;
  /** When it is forgotten. */
  readonly keptUntil: number;
}

/** A verb's answer, and the record after it. */
export interface Change<Answer> {
  readonly record: FleetRecord;
  readonly answer: Answer;
}

/** What a verb is told by its store. */
export interface Moment {
  readonly now: number;
  /** How long a circuit is remembered when nothing runs any more, in milliseconds. */
  readonly keepMs: number;
  /** Draws a generation greater than all before. */
  readonly nextGeneration: () => number;
}

const UNKNOWN: FleetRecord = {
  generation: 0,
  open: false,
  openUntil: 0,
  opens: 0,
  lastOpenMs: 0,
  closedAt: -Infinity,
  votes: new Map(),
  leases: new Map(),
  probed: 0,
  keptUntil: 0,
};

/** The record as it is at `now`, without what has run out. */
export function recordAt(known: FleetRecord | undefined, now: number): FleetRecord {
  if (known === undefined || now >= known.keptUntil) return UNKNOWN;
  return { ...known, votes: lasting(known.votes, now), leases: lasting(known.leases, now) };
}

/** What others are told of it. */
export function circuitOf(key: string, record: FleetRecord, now: number): FleetCircuit {
  return {
    key,
    generation: record.generation,
    state: record.open ? "open" : "closed",
    openForMs: record.open ? Math.max(0, record.openUntil - now) : 0,
    opens: record.opens,
    votes: record.votes.size,
    probing: record.leases.size,
    probed: record.probed,
  };
}

export function vote(
  known: FleetRecord | undefined,
  { voter, generation, quorum, windowMs, openTime }: CircuitVote,
  moment: Moment,
): Change<undefined> {
  const record = recordAt(known, moment.now);
  if (record.open || generation < record.generation) return { record, answer: undefined };
  const votes = new Map(record.votes).set(voter, moment.now + windowMs);
  const counted = kept({ ...record, votes }, moment);
  return { record: votes.size < quorum ? counted : opened(counted, openTime, moment), answer: undefined };
}

export function leaseProbe(
  known: FleetRecord | undefined,
  { generation, token, probes, leaseMs }: ProbeRequest,
  moment: Moment,
): Change<Omit<ProbeAnswer, "circuit">> {
  const { now } = moment;
  const record = recordAt(known, now);
  const refused = (retryAfterMs: number) => ({ record, answer: { granted: false, retryAfterMs } });
  if (!record.open) return refused(0);
  if (now < record.openUntil) return refused(record.openUntil - now);
  if (generation !== record.generation) return refused(0);
  const granted = { granted: true, retryAfterMs: 0 };
  if (record.leases.has(token)) return { record, answer: granted };
  if (record.leases.size >= probes - record.probed)
    return refused(Math.min(now + leaseMs, ...record.leases.values()) - now);
  const leases = new Map(record.leases).set(token, now + leaseMs);
  return { record: kept({ ...record, leases }, moment), answer: granted };
}

export function probeEnded(
  known: FleetRecord | undefined,
  { generation, token, verdict, probes, openTime }: ProbeEnd,
  moment: Moment,
): Change<Omit<ProbeEndAnswer, "circuit">> {
  const record = recordAt(known, moment.now);
  if (generation !== record.generation || !record.leases.has(token))
    return { record, answer: { accepted: false } };
  return { record: ended(record, token, verdict, probes, openTime, moment), answer: { accepted: true } };
}

function ended(
  record: FleetRecord,
  token: string,
  verdict: ProbeEnd["verdict"],
  probes: number,
  openTime: FleetOpenTime,
  moment: Moment,
): FleetRecord {
  if (verdict === "failed") return opened(record, openTime, moment);
  const leases = new Map(record.leases);
  leases.delete(token);
  const left = { ...record, leases, probed: record.probed + (verdict === "succeeded" ? 1 : 0) };
  return left.probed < probes ? kept(left, moment) : closed(left, moment);
}

function opened(record: FleetRecord, openTime: FleetOpenTime, moment: Moment): FleetRecord {
  const { now, nextGeneration } = moment;
  // A callee that was well for as long as it was left alone begins anew.
  const rested = !record.open && now - record.closedAt >= record.lastOpenMs;
  const opens = rested ? 1 : record.opens + 1;
  const { initialMs, maxMs, factor, stretch, atLeastMs } = openTime;
  const lastOpenMs = Math.ceil(Math.min(maxMs, initialMs * factor ** (opens - 1)) * stretch);
  const openUntil = now + Math.max(lastOpenMs, atLeastMs);
  return kept({ ...UNKNOWN, generation: nextGeneration(), open: true, openUntil, opens, lastOpenMs }, moment);
}

function closed({ opens, lastOpenMs }: FleetRecord, moment: Moment): FleetRecord {
  const { now, nextGeneration } = moment;
  return kept({ ...UNKNOWN, generation: nextGeneration(), opens, lastOpenMs, closedAt: now }, moment);
}

/** Remembered for longer than anything of it lasts. */
function kept(record: FleetRecord, { now, keepMs }: Moment): FleetRecord {
  const rest = record.open ? record.openUntil : record.closedAt + record.lastOpenMs;
  const last = Math.max(now, rest, ...record.votes.values(), ...record.leases.values());
  return { ...record, keptUntil: Math.max(record.keptUntil, last + keepMs) };
}

function lasting(ends: ReadonlyMap<string, number>, now: number): ReadonlyMap<string, number> {
  return new Map([...ends].filter(([, endsAt]) => now < endsAt));
}
