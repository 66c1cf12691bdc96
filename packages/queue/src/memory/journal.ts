// What a memory store has written down so that it can be made again: each call that changes something, with its time.
import type { KeptQueue } from "./kept-queue.ts";
import type { QueueState } from "./queue-state.ts";
import type { MemoryBounds } from "./task-board.ts";

/** Keeps what happens beyond the end of the process. `fileJournal` of `@holdfast/queue/file` makes one. */
export interface QueueJournal {
  /** Hands out what was kept before, in order. Called once, before anything else. */
  start(source: JournalSource): void;
  /** Writes down a call behind all others. @throws what makes that impossible from now on */
  append<V extends ChangeVerb>(call: Call<V>, result: ChangeResult<V>): void;
  /** Resolves once all that was appended is kept; `undefined` when it is. Rejects when it cannot be kept. */
  kept(): Promise<void> | undefined;
  close(): Promise<void>;
}

/** The store, as its journal sees it. */
export interface JournalSource {
  /** What the store is to keep at most from now on. */
  readonly bounds: MemoryBounds;
  /** What it was to keep at most when that was written which comes next. */
  bound(bounds: MemoryBounds): void;
  /** Takes a queue as it was. */
  restore(queue: KeptQueue): void;
  /** Makes a call again. */
  redo<V extends ChangeVerb>(call: Call<V>): void;
  /** All queues as they are. */
  snapshot(): Iterable<KeptQueue>;
}

/** The calls that change a queue. */
export type ChangeVerb =
  | "enqueue"
  | "claim"
  | "settle"
  | "renew"
  | "report"
  | "checkpoint"
  | "signal"
  | "cancel"
  | "redrive"
  | "discard"
  | "pause"
  | "setSchedule"
  | "removeSchedule"
  | "fire"
  | "reopen";

type WithoutTime<T extends readonly unknown[]> = T extends readonly [number, ...infer Rest] ? Rest : never;

/** What such a call is given beside the time. */
export type ChangeArgs<V extends ChangeVerb> = WithoutTime<Parameters<QueueState[V]>>;
export type ChangeResult<V extends ChangeVerb> = ReturnType<QueueState[V]>;

/** A call on a queue at a time, in whole milliseconds since the epoch. */
export interface Call<V extends ChangeVerb> {
  readonly verb: V;
  readonly queue: string;
  readonly now: number;
  readonly args: ChangeArgs<V>;
}

/** Makes a call. */
export function make<V extends ChangeVerb>(state: QueueState, { verb, now, args }: Call<V>): ChangeResult<V> {
  const run = state[verb] as (now: number, ...args: ChangeArgs<V>) => ChangeResult<V>;
  return run.call(state, now, ...args);
}
