// The lines of a journal: what the first one says, what each call and each queue is, and a checksum in front of all.
import { crc32 } from "node:zlib";
import type { Call, ChangeArgs, ChangeResult, ChangeVerb, JournalSource } from "../memory/journal.ts";
import type { KeptQueue, KeptTask } from "../memory/kept-queue.ts";
import type { MemoryBounds } from "../memory/task-board.ts";
import type { LeaseRef } from "../store/store.ts";
import { checkpointWith, packed, settlementWith, taskWith, unpacked } from "./payload-json.ts";

export type JournalRecord = readonly [kind: string, ...fields: readonly unknown[]];

/** The first line. Another version means other rules, by which these calls would not make the same state. */
const FORMAT: JournalRecord = ["holdfast-queue-journal", 1];
/** Of the first line: all journals have it. */
export const FIRST_LINE: string = lineOf(FORMAT);

export function lineOf(record: JournalRecord): string {
  const text = JSON.stringify(record);
  return `${crc32(text).toString(16).padStart(8, "0")} ${text}\n`;
}

/** What a line says, with its end; `undefined` when it is torn or damaged. */
export function recordOf(line: Buffer): JournalRecord | undefined {
  if (line.length < 12 || line.at(-1) !== 10) return undefined;
  const text = line.subarray(9, -1);
  if (line.toString("latin1", 0, 8) !== crc32(text).toString(16).padStart(8, "0")) return undefined;
  return JSON.parse(text.toString()) as JournalRecord;
}

/** A call that has changed something: verb, queue, time, arguments. `undefined`: it has changed nothing. */
export function callRecord<V extends ChangeVerb>(
  { verb, queue, now, args }: Call<V>,
  result: ChangeResult<V>,
): JournalRecord | undefined {
  return HAS_CHANGED[verb](result) ? [verb, queue, now, ...PACKED[verb](args)] : undefined;
}

export function boundsRecord(bounds: MemoryBounds): JournalRecord {
  return ["bounds", bounds];
}

/** The tasks of a queue, and then the queue. */
export function* queueRecords({ tasks, ...queue }: KeptQueue): Iterable<JournalRecord> {
  for (const task of tasks) yield ["task", keptWith(packed, task)];
  yield ["queue", queue];
}

/** Hands out records in order. */
export function replay(records: Iterable<JournalRecord>, source: JournalSource): void {
  let tasks: KeptTask[] = [];
  for (const [kind, ...fields] of records)
    if (kind === "bounds") source.bound(fields[0] as MemoryBounds);
    else if (kind === "task") tasks.push(keptWith(unpacked, fields[0] as KeptTask));
    else if (kind === "queue") {
      source.restore({ ...(fields[0] as Omit<KeptQueue, "tasks">), tasks });
      tasks = [];
    } else if (kind !== FORMAT[0]) source.redo(callOf(kind as ChangeVerb, fields));
}

function callOf<V extends ChangeVerb>(verb: V, fields: readonly unknown[]): Call<V> {
  const [queue, now, ...args] = fields as [string, number, ...unknown[]];
  const unpack = UNPACKED[verb] ?? ((given: ChangeArgs<V>) => given);
  return { verb, queue, now, args: unpack(args as unknown as ChangeArgs<V>) };
}

const HAS_CHANGED: { readonly [V in ChangeVerb]: (result: ChangeResult<V>) => boolean } = {
  enqueue: (result) => !result.full && result.outcomes.some(({ outcome }) => outcome === "enqueued"),
  claim: (claimed) => claimed.length > 0,
  settle: ({ outcomes, claimed }) => claimed.length > 0 || anyWritten(outcomes),
  renew: anyWritten,
  report: anyWritten,
  checkpoint: ({ written }) => written,
  signal: (outcome) => outcome === "delivered",
  cancel: (outcomes) => outcomes.includes("cancelled"),
  redrive: (outcomes) => outcomes.includes("redriven"),
  discard: (outcomes) => outcomes.includes(true),
  pause: () => true,
  setSchedule: (isThere) => isThere,
  removeSchedule: (wasThere) => wasThere,
  fire: (outcome) => outcome === "fired",
  reopen: () => true,
};

function anyWritten(outcomes: readonly { readonly written: boolean }[]): boolean {
  return outcomes.some(({ written }) => written);
}

/** Arguments as JSON can say them. A limit that was kept is not checked again: what was added is added. */
const PACKED: { readonly [V in ChangeVerb]: (args: ChangeArgs<V>) => readonly unknown[] } = {
  enqueue: ([tasks]) => [tasks.map((task) => taskWith(packed, task))],
  claim: ([{ worker, max, leaseMs }]) => [{ worker, max, leaseMs }],
  settle: ([settlements, claim]) => [settlements.map((each) => settlementWith(packed, each)), claim],
  renew: ([leases, leaseMs]) => [leases.map(refOf), leaseMs],
  report: ([requests]) => [requests.map(({ id, fence, reports }) => ({ id, fence, reports }))],
  checkpoint: ([lease, checkpoints]) => [
    refOf(lease),
    checkpoints.map((each) => checkpointWith(packed, each)),
  ],
  signal: ([id, checkpoint]) => [id, checkpointWith(packed, checkpoint)],
  cancel: (args) => args,
  redrive: (args) => args,
  discard: (args) => args,
  pause: (args) => args,
  setSchedule: (args) => args,
  removeSchedule: (args) => args,
  fire: ([schedule, nextAt, task]) => [schedule, nextAt, taskWith(packed, task)],
  reopen: (args) => args,
};

function refOf({ id, fence }: LeaseRef): LeaseRef {
  return { id, fence };
}

/** The other way round, where there is something to be done. */
const UNPACKED: { readonly [V in ChangeVerb]?: (args: ChangeArgs<V>) => ChangeArgs<V> } = {
  enqueue: ([tasks]) => [tasks.map((task) => taskWith(unpacked, task)), Infinity],
  settle: ([settlements, claim]) => [
    settlements.map((each) => settlementWith(unpacked, each)),
    claim ?? undefined,
  ],
  checkpoint: ([lease, checkpoints]) => [lease, checkpoints.map((each) => checkpointWith(unpacked, each))],
  signal: ([id, checkpoint]) => [id, checkpointWith(unpacked, checkpoint)],
  fire: ([schedule, nextAt, task]) => [schedule, nextAt, taskWith(unpacked, task), Infinity],
};

function keptWith(turn: typeof packed, kept: KeptTask): KeptTask {
  const { task, result, checkpoints } = kept;
  return {
    ...kept,
    task: taskWith(turn, task),
    ...(result === undefined ? {} : { result: turn(result) }),
    ...(checkpoints === undefined
      ? {}
      : { checkpoints: checkpoints.map((each) => checkpointWith(turn, each)) }),
  };
}
