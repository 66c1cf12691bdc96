// The store of one process: exact, fast, gone with the process.
import type { Clock, Timer } from "@holdfast/core";
import { ClosedError, optionsOf, systemClock } from "@holdfast/core";
import type {
  CancelOutcome,
  Checkpoint,
  ClaimedTask,
  ClaimRequest,
  EnqueueResult,
  EventPage,
  FireOutcome,
  LeaseRef,
  NewTask,
  QueueMeter,
  QueueStats,
  QueueStore,
  QueueStoreTraits,
  RedriveOutcome,
  ReportRequest,
  RevokedLease,
  Schedule,
  Settlement,
  SignalOutcome,
  StoredInput,
  WriteOutcome,
} from "../store/store.ts";
import type { Payload } from "../task/payload.ts";
import type { TaskState, TaskStatus } from "../task/task-status.ts";
import { hasEnded } from "../task/task-status.ts";
import type { ChangeArgs, ChangeResult, ChangeVerb, QueueJournal } from "./journal.ts";
import { make } from "./journal.ts";
import type { KeptQueue } from "./kept-queue.ts";
import { keptQueue, restoreQueue } from "./kept-queue.ts";
import { QueueState } from "./queue-state.ts";
import type { MemoryBounds } from "./task-board.ts";
import { WORK } from "./task-board.ts";

export interface MemoryStoreOptions {
  /** Completed and cancelled tasks kept in each queue; beyond it the oldest go early. @defaultValue 100_000 */
  readonly maxEnded?: number;
  /** Failed tasks kept in each queue; beyond it the oldest go early. @defaultValue 100_000 */
  readonly maxDeadLetters?: number;
  /** Events kept for each task; beyond it the oldest go. From 10. @defaultValue 200 */
  readonly maxEvents?: number;
  /** Keeps tasks beyond the end of the process: `await fileJournal({ path })` of `@holdfast/queue/file`. One store each. */
  readonly journal?: QueueJournal;
  /** @defaultValue systemClock */
  readonly clock?: Clock;
}

/** The defaults of `memoryStore`. */
export const MEMORY_STORE_DEFAULTS: MemoryBounds = {
  maxEnded: 100_000,
  maxDeadLetters: 100_000,
  maxEvents: 200,
};

/**
 * Keeps tasks in this process. An acknowledged task survives errors, lost leases and closed workers, but not the end
 * of the process, unless the store has a journal. With one, a store that is opened again takes all leases away at once:
 * the workers that held them have died with their process; and nothing is answered that is not yet kept. Without one, what
 * was counted (`meter`) in queues that are empty by now is kept of the latest thousand of them.
 *
 * @throws InvalidOptionError when an option is out of range.
 *
 * @example
 * ```ts
 * import { memoryStore } from "@holdfast/queue";
 *
 * memoryStore().traits; // => { shared: false, clock: "caller", durable: false }
 * ```
 */
export function memoryStore(options: MemoryStoreOptions = {}): QueueStore {
  const check = optionsOf("memoryStore");
  const { maxEnded, maxDeadLetters, maxEvents } = MEMORY_STORE_DEFAULTS;
  if (options.journal !== undefined) check.object("journal", options.journal);
  const bounds = {
    maxEnded: check.integer("maxEnded", options.maxEnded, { min: 1 }, maxEnded),
    maxDeadLetters: check.integer("maxDeadLetters", options.maxDeadLetters, { min: 1 }, maxDeadLetters),
    maxEvents: check.integer("maxEvents", options.maxEvents, { min: 10 }, maxEvents),
  };
  return new MemoryStore(options.clock ?? systemClock, bounds, options.journal);
}

/** Queues of which nothing is left but what was counted; beyond it that goes of those that were empty first. */
const MAX_EMPTY = 1_000;

class MemoryStore implements QueueStore {
  readonly traits: QueueStoreTraits;
  readonly #queues = new Map<string, QueueState>();
  /** Those that are empty, but have been counted in. */
  readonly #empty = new Set<string>();
  /** The highest of queues that are forgotten. */
  #fence = 0;
  /** One timer for whatever happens next by itself, in any queue. */
  #timer: Timer | undefined;
  #timerAt = Infinity;
  /** Turns monotonic time into epoch milliseconds once and for all: a jump of the wall clock moves no lease. */
  #epochOffset: number;
  #closed = false;

  constructor(
    private readonly clock: Clock,
    private bounds: MemoryBounds,
    private readonly journal: QueueJournal | undefined,
  ) {
    this.traits = { shared: false, clock: "caller", durable: journal !== undefined };
    this.#epochOffset = clock.now() - Math.floor(clock.monotonic());
    if (journal !== undefined) this.#reopen(journal);
  }

  async enqueue(
    queue: string,
    tasks: readonly NewTask[],
    { limit }: { readonly limit: number },
  ): Promise<EnqueueResult> {
    return this.#change(queue, "enqueue", [tasks, limit]);
  }

  async claim(queue: string, request: ClaimRequest): Promise<readonly ClaimedTask[]> {
    return this.#change(queue, "claim", [request]);
  }

  async settle(
    queue: string,
    settlements: readonly Settlement[],
    claim?: ClaimRequest,
  ): Promise<{ readonly outcomes: readonly WriteOutcome[]; readonly claimed: readonly ClaimedTask[] }> {
    return this.#change(queue, "settle", [settlements, claim]);
  }

  async renew(queue: string, leases: readonly LeaseRef[], leaseMs: number): Promise<readonly WriteOutcome[]> {
    return this.#change(queue, "renew", [leases, leaseMs]);
  }

  async report(queue: string, requests: readonly ReportRequest[]): Promise<readonly WriteOutcome[]> {
    return this.#change(queue, "report", [requests]);
  }

  async checkpoint(
    queue: string,
    lease: LeaseRef,
    checkpoints: readonly Checkpoint[],
  ): Promise<WriteOutcome> {
    return this.#change(queue, "checkpoint", [lease, checkpoints]);
  }

  async checkpoints(queue: string, id: string): Promise<readonly Checkpoint[]> {
    return this.#look(queue, ({ board }) =>
      Array.from(board.tasks.get(id)?.checkpoints ?? [], ([name, value]) => ({ name, value })),
    );
  }

  async signal(queue: string, id: string, checkpoint: Checkpoint): Promise<SignalOutcome> {
    return this.#change(queue, "signal", [id, checkpoint]);
  }

  async children(queue: string, id: string): Promise<readonly TaskStatus[]> {
    return this.#look(queue, ({ board }) => {
      const children = board.tasks.get(id)?.children?.page(Infinity) ?? [];
      return children.map((child) => child.status());
    });
  }

  async cancel(queue: string, ids: readonly string[], reason: string): Promise<readonly CancelOutcome[]> {
    return this.#change(queue, "cancel", [ids, reason]);
  }

  async get(queue: string, ids: readonly string[]): Promise<readonly (TaskStatus | undefined)[]> {
    return this.#look(queue, ({ board }) => ids.map((id) => board.tasks.get(id)?.status()));
  }

  async input(queue: string, id: string): Promise<StoredInput | undefined> {
    return this.#look(queue, ({ board }) => {
      const entry = board.tasks.get(id);
      if (entry === undefined || (hasEnded(entry) && entry.state !== "failed")) return undefined;
      const { name, input, meta } = entry.task;
      return meta === undefined ? { name, input } : { name, input, meta };
    });
  }

  async result(queue: string, id: string): Promise<Payload | undefined> {
    return this.#look(queue, ({ board }) => board.tasks.get(id)?.result);
  }

  async events(queue: string, id: string, after: number, max: number): Promise<EventPage | undefined> {
    return this.#look(queue, ({ board }) => {
      const entry = board.tasks.get(id);
      if (entry === undefined) return undefined;
      const events = entry.events.after(after, max);
      const seen = events.at(-1)?.seq ?? after;
      return { events, ended: hasEnded(entry) && seen >= entry.events.lastSeq };
    });
  }

  async waitForEvents(queue: string, id: string, after: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    await this.#at(queue, ({ board }) => {
      const entry = board.tasks.get(id);
      if (entry === undefined || entry.events.lastSeq > after) return undefined;
      return board.eventWaiters.wait(id, signal);
    });
  }

  async waitForWork(queue: string, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const wait = this.#at(queue, ({ board }) =>
      board.hasWork ? undefined : board.workWaiters.wait(WORK, signal),
    );
    await this.#waited(queue, wait);
  }

  async waitForRevoked(queue: string, worker: string, signal: AbortSignal): Promise<readonly RevokedLease[]> {
    for (;;) {
      signal.throwIfAborted();
      const revoked = this.#at(queue, (state) => state.revocations.take(worker));
      if (revoked.length > 0) return this.#whenKept(revoked);
      await this.#waited(
        queue,
        this.#at(queue, (state) => state.revokedWaiters.wait(worker, signal)),
      );
    }
  }

  async deadLetters(
    queue: string,
    { max, after }: { readonly max: number; readonly after?: string },
  ): Promise<readonly TaskStatus[]> {
    return this.#look(queue, ({ board }) => board.deadLetters(max, after));
  }

  async redrive(queue: string, ids: readonly string[]): Promise<readonly RedriveOutcome[]> {
    return this.#change(queue, "redrive", [ids]);
  }

  async discard(queue: string, ids: readonly string[]): Promise<readonly boolean[]> {
    return this.#change(queue, "discard", [ids]);
  }

  async stats(queue: string): Promise<QueueStats> {
    return this.#look(queue, ({ board }) => board.stats);
  }

  async meter(queue: string): Promise<QueueMeter> {
    return this.#look(queue, ({ board }) => board.meter);
  }

  async list(queue: string, state: TaskState, max: number): Promise<readonly TaskStatus[]> {
    return this.#look(queue, ({ board }) => board.list(state, max));
  }

  async pause(queue: string, paused: boolean): Promise<void> {
    await this.#change(queue, "pause", [paused]);
  }

  async setSchedule(queue: string, schedule: Schedule): Promise<boolean> {
    return this.#change(queue, "setSchedule", [schedule]);
  }

  async removeSchedule(queue: string, key: string): Promise<boolean> {
    return this.#change(queue, "removeSchedule", [key]);
  }

  async schedules(queue: string): Promise<readonly Schedule[]> {
    return this.#look(queue, ({ schedules }) => schedules.all());
  }

  async fire(
    queue: string,
    schedule: Schedule,
    nextAt: number,
    task: NewTask,
    { limit }: { readonly limit: number },
  ): Promise<FireOutcome> {
    return this.#change(queue, "fire", [schedule, nextAt, task, limit]);
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#timer?.cancel();
    for (const state of this.#queues.values()) state.close();
    // It may still have to write down what there is.
    await this.journal?.close();
    this.#queues.clear();
  }

  /** Takes up what was kept. */
  #reopen(journal: QueueJournal): void {
    let latest = -Infinity;
    const { bounds } = this;
    journal.start({
      bounds,
      bound: (before) => (this.bounds = before),
      restore: (kept) => {
        latest = Math.max(latest, kept.now);
        restoreQueue(this.#stateOf(kept.name), kept);
      },
      redo: (call) => {
        latest = Math.max(latest, call.now);
        const state = this.#stateOf(call.queue);
        state.sweep(call.now);
        make(state, call);
      },
      snapshot: () => this.#snapshot(),
    });
    // Time goes on where it was, also if the wall clock was turned back.
    this.#epochOffset += Math.max(0, latest - this.#now());
    this.bounds = bounds;
    for (const state of this.#queues.values()) state.board.bound(bounds);
    for (const queue of this.#queues.keys()) this.#make(queue, "reopen", []);
  }

  *#snapshot(): Iterable<KeptQueue> {
    const now = this.#now();
    for (const [name, state] of this.#queues) {
      state.sweep(now);
      yield keptQueue(name, state, now);
    }
  }

  /** Makes a call that may change a queue, and answers once that is kept. */
  #change<V extends ChangeVerb>(
    queue: string,
    verb: V,
    args: ChangeArgs<V>,
  ): ChangeResult<V> | Promise<ChangeResult<V>> {
    const result = this.#make(queue, verb, args);
    // A renewal is worth nothing after the end of this process.
    return verb === "renew" ? result : this.#whenKept(result);
  }

  #make<V extends ChangeVerb>(queue: string, verb: V, args: ChangeArgs<V>): ChangeResult<V> {
    return this.#at(queue, (state, now) => {
      const call = { verb, queue, now, args };
      const result = make(state, call);
      this.journal?.append(call, result);
      return result;
    });
  }

  /** Looks at a queue; what it shows is kept by then. */
  #look<T>(queue: string, look: (state: QueueState) => T): T | Promise<T> {
    return this.#whenKept(this.#at(queue, look));
  }

  #whenKept<T>(result: T): T | Promise<T> {
    const kept = this.journal?.kept();
    return kept === undefined ? result : kept.then(() => result);
  }

  /** Works on a queue as it is at this moment, and sees to what happens next by itself. */
  #at<T>(queue: string, work: (state: QueueState, now: number) => T): T {
    if (this.#closed) throw new ClosedError("the memory store");
    const state = this.#stateOf(queue);
    const now = this.#now();
    state.sweep(now);
    const result = work(state, now);
    this.#wakeAt(state.board.nextDue, now);
    this.#release(queue, state);
    return result;
  }

  /** Whoever has waited for what never was leaves nothing behind. */
  async #waited(queue: string, wait: Promise<void> | undefined): Promise<void> {
    try {
      await wait;
    } finally {
      const state = this.#queues.get(queue);
      if (state !== undefined) this.#release(queue, state);
    }
  }

  /** Lets go of what is as a new queue would be, and in the end of what is but for its counts. */
  #release(queue: string, state: QueueState): void {
    this.#empty.delete(queue);
    if (!state.isEmpty) return;
    if (state.board.counters.added === 0) this.#queues.delete(queue);
    // A journal tells of calls alone, which are to come to the same fences again.
    else if (this.journal === undefined) this.#empty.add(queue);
    if (this.#empty.size <= MAX_EMPTY) return;
    const oldest = this.#empty.values().next().value!;
    this.#fence = Math.max(this.#fence, this.#queues.get(oldest)!.board.kept.fence);
    this.#empty.delete(oldest);
    this.#queues.delete(oldest);
  }

  #now(): number {
    return this.#epochOffset + Math.floor(this.clock.monotonic());
  }

  #stateOf(queue: string): QueueState {
    let state = this.#queues.get(queue);
    if (state === undefined) {
      state = new QueueState(this.bounds, this.#fence);
      this.#queues.set(queue, state);
    }
    return state;
  }

  #wakeAt(at: number, now: number): void {
    if (at >= this.#timerAt) return;
    this.#timer?.cancel();
    this.#timerAt = at;
    // Whole milliseconds, as time is read here: a fraction would come due again and again before it is reached.
    this.#timer = this.clock.setTimer(Math.max(0, Math.ceil(at - now)), () => this.#onTimer());
  }

  #onTimer(): void {
    this.#timerAt = Infinity;
    const now = this.#now();
    for (const [queue, state] of this.#queues) {
      state.sweep(now);
      this.#wakeAt(state.board.nextDue, now);
      if (!this.#empty.has(queue)) this.#release(queue, state);
    }
  }
}
