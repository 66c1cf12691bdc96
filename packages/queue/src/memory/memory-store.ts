// The store of one process: exact, fast, gone with the process.
import type { Clock, Timer } from "@holdfast/core";
import { ClosedError, optionsOf, systemClock } from "@holdfast/core";
import type { Payload } from "../payload.ts";
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
  WriteOutcome,
} from "../store.ts";
import type { TaskState, TaskStatus } from "../task-status.ts";
import { hasEnded } from "../task-status.ts";
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
 * of the process.
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
  return new MemoryStore(options.clock ?? systemClock, {
    maxEnded: check.integer("maxEnded", options.maxEnded, { min: 1 }, maxEnded),
    maxDeadLetters: check.integer("maxDeadLetters", options.maxDeadLetters, { min: 1 }, maxDeadLetters),
    maxEvents: check.integer("maxEvents", options.maxEvents, { min: 10 }, maxEvents),
  });
}

class MemoryStore implements QueueStore {
  readonly traits: QueueStoreTraits = { shared: false, clock: "caller", durable: false };
  readonly #queues = new Map<string, QueueState>();
  /** One timer for whatever happens next by itself, in any queue. */
  #timer: Timer | undefined;
  #timerAt = Infinity;
  /** Turns monotonic time into epoch milliseconds once and for all: a jump of the wall clock moves no lease. */
  readonly #epochOffset: number;
  #closed = false;

  constructor(
    private readonly clock: Clock,
    private readonly bounds: MemoryBounds,
  ) {
    this.#epochOffset = clock.now() - Math.floor(clock.monotonic());
  }

  async enqueue(
    queue: string,
    tasks: readonly NewTask[],
    { limit }: { readonly limit: number },
  ): Promise<EnqueueResult> {
    return this.#at(queue, (state, now) => state.enqueue(now, tasks, limit));
  }

  async claim(queue: string, request: ClaimRequest): Promise<readonly ClaimedTask[]> {
    return this.#at(queue, (state, now) => state.claim(now, request));
  }

  async settle(
    queue: string,
    settlements: readonly Settlement[],
    claim?: ClaimRequest,
  ): Promise<{ readonly outcomes: readonly WriteOutcome[]; readonly claimed: readonly ClaimedTask[] }> {
    return this.#at(queue, (state, now) => state.settle(now, settlements, claim));
  }

  async renew(queue: string, leases: readonly LeaseRef[], leaseMs: number): Promise<readonly WriteOutcome[]> {
    return this.#at(queue, (state, now) => state.renew(now, leases, leaseMs));
  }

  async report(queue: string, requests: readonly ReportRequest[]): Promise<readonly WriteOutcome[]> {
    return this.#at(queue, (state, now) => state.report(now, requests));
  }

  async checkpoint(
    queue: string,
    lease: LeaseRef,
    checkpoints: readonly Checkpoint[],
  ): Promise<WriteOutcome> {
    return this.#at(queue, (state, now) => state.checkpoint(now, lease, checkpoints));
  }

  async checkpoints(queue: string, id: string): Promise<readonly Checkpoint[]> {
    return this.#at(queue, ({ board }) =>
      Array.from(board.tasks.get(id)?.checkpoints ?? [], ([name, value]) => ({ name, value })),
    );
  }

  async signal(queue: string, id: string, checkpoint: Checkpoint): Promise<SignalOutcome> {
    return this.#at(queue, (state, now) => state.signal(now, id, checkpoint));
  }

  async children(queue: string, id: string): Promise<readonly TaskStatus[]> {
    return this.#at(queue, ({ board }) => {
      const children = board.tasks.get(id)?.children?.page(Infinity) ?? [];
      return children.map((child) => child.status());
    });
  }

  async cancel(queue: string, ids: readonly string[], reason: string): Promise<readonly CancelOutcome[]> {
    return this.#at(queue, (state, now) => state.cancel(now, ids, reason));
  }

  async get(queue: string, ids: readonly string[]): Promise<readonly (TaskStatus | undefined)[]> {
    return this.#at(queue, ({ board }) => ids.map((id) => board.tasks.get(id)?.status()));
  }

  async result(queue: string, id: string): Promise<Payload | undefined> {
    return this.#at(queue, ({ board }) => board.tasks.get(id)?.result);
  }

  async events(queue: string, id: string, after: number, max: number): Promise<EventPage | undefined> {
    return this.#at(queue, ({ board }) => {
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
    await this.#at(queue, ({ board }) => (board.hasWork ? undefined : board.workWaiters.wait(WORK, signal)));
  }

  async waitForRevoked(queue: string, worker: string, signal: AbortSignal): Promise<readonly RevokedLease[]> {
    for (;;) {
      signal.throwIfAborted();
      const revoked = this.#at(queue, (state) => state.revocations.take(worker));
      if (revoked.length > 0) return revoked;
      await this.#at(queue, (state) => state.revokedWaiters.wait(worker, signal));
    }
  }

  async deadLetters(
    queue: string,
    { max, after }: { readonly max: number; readonly after?: string },
  ): Promise<readonly TaskStatus[]> {
    return this.#at(queue, ({ board }) => board.deadLetters(max, after));
  }

  async redrive(queue: string, ids: readonly string[]): Promise<readonly RedriveOutcome[]> {
    return this.#at(queue, (state, now) => state.redrive(now, ids));
  }

  async discard(queue: string, ids: readonly string[]): Promise<readonly boolean[]> {
    return this.#at(queue, (state, now) => state.discard(now, ids));
  }

  async stats(queue: string): Promise<QueueStats> {
    return this.#at(queue, ({ board }) => board.stats);
  }

  async meter(queue: string): Promise<QueueMeter> {
    return this.#at(queue, ({ board }) => board.meter);
  }

  async list(queue: string, state: TaskState, max: number): Promise<readonly TaskStatus[]> {
    return this.#at(queue, ({ board }) => board.list(state, max));
  }

  async pause(queue: string, paused: boolean): Promise<void> {
    this.#at(queue, (state, now) => state.pause(now, paused));
  }

  async setSchedule(queue: string, schedule: Schedule): Promise<boolean> {
    return this.#at(queue, (state, now) => state.setSchedule(now, schedule));
  }

  async removeSchedule(queue: string, key: string): Promise<boolean> {
    return this.#at(queue, (state, now) => state.removeSchedule(now, key));
  }

  async schedules(queue: string): Promise<readonly Schedule[]> {
    return this.#at(queue, ({ schedules }) => schedules.all());
  }

  async fire(
    queue: string,
    schedule: Schedule,
    nextAt: number,
    task: NewTask,
    { limit }: { readonly limit: number },
  ): Promise<FireOutcome> {
    return this.#at(queue, (state, now) => state.fire(now, schedule, nextAt, task, limit));
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#timer?.cancel();
    for (const state of this.#queues.values()) state.close();
    this.#queues.clear();
  }

  /** Works on a queue as it is at this moment, and sees to what happens next by itself. */
  #at<T>(queue: string, work: (state: QueueState, now: number) => T): T {
    if (this.#closed) throw new ClosedError("the memory store");
    const state = this.#stateOf(queue);
    const now = this.#now();
    state.sweep(now);
    const result = work(state, now);
    this.#wakeAt(state.board.nextDue, now);
    return result;
  }

  #now(): number {
    return this.#epochOffset + Math.floor(this.clock.monotonic());
  }

  #stateOf(queue: string): QueueState {
    let state = this.#queues.get(queue);
    if (state === undefined) {
      state = new QueueState(this.bounds);
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
    for (const state of this.#queues.values()) {
      state.sweep(now);
      this.#wakeAt(state.board.nextDue, now);
    }
  }
}
