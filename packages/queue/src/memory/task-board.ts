// Where each task of one queue in memory is: by ID, by state, by when something happens to it, by whose turn it is.
import { OrderedQueue } from "@holdfast/core/collections";
import type { NewTask, QueueMeter, QueueStats } from "../store/store.ts";
import type { TaskEventBody, TaskState, TaskStatus } from "../task/task-status.ts";
import { hasEnded } from "../task/task-status.ts";
import { adopt, parted, released } from "./family.ts";
import type { Moment } from "./event-log.ts";
import { LinkedList } from "./linked-list.ts";
import type { Counters } from "./meter.ts";
import { zeroes } from "./meter.ts";
import { DUE_PLACE, isClaimedBefore, isDueBefore, READY_PLACE, TaskEntry } from "./task-entry.ts";
import type { KeptGroup } from "./task-groups.ts";
import { TaskGroups } from "./task-groups.ts";
import type { KeptTurns } from "./task-turns.ts";
import { TaskTurns } from "./task-turns.ts";
import { Waiters } from "./waiters.ts";

/** What a queue in memory keeps at most. */
export interface MemoryBounds {
  readonly maxEnded: number;
  readonly maxDeadLetters: number;
  readonly maxEvents: number;
}

/** What is kept of a board beside its tasks. */
export interface KeptBoard {
  readonly counters: Counters;
  readonly isPaused: boolean;
  readonly order: number;
  readonly fence: number;
  readonly ends: number;
  readonly turns: readonly KeptTurns[];
  readonly groups: readonly KeptGroup[];
}

/** Key of those who wait for work. */
export const WORK = "";

const ENQUEUED: TaskEventBody = { type: "enqueued" };
const STARTED_FIRST: TaskEventBody = { type: "started", attempt: 1 };

/** Moves tasks and keeps heaps, lists and counts in step. Which moves are allowed is for its user to know. */
export class TaskBoard {
  readonly tasks: Map<string, TaskEntry> = new Map();
  readonly counters: ReturnType<typeof zeroes> = zeroes();
  readonly workWaiters: Waiters = new Waiters();
  readonly eventWaiters: Waiters = new Waiters();
  isPaused = false;
  readonly #counts: Record<TaskState, number> = {
    scheduled: 0,
    waiting: 0,
    ready: 0,
    running: 0,
    completed: 0,
    failed: 0,
    cancelled: 0,
  };
  /** What can be claimed: ready, and of those of a group the one that it offers. */
  readonly #claimable = new OrderedQueue(isClaimedBefore, READY_PLACE);
  /** What happens by itself to tasks: leases run out; delays end, and ended ones go. In two, each of which is mostly in order. */
  readonly #leases = new OrderedQueue(isDueBefore, DUE_PLACE);
  readonly #due = new OrderedQueue(isDueBefore, DUE_PLACE);
  readonly #dedup = new Map<string, TaskEntry>();
  readonly #turns = new TaskTurns();
  readonly #groups = new TaskGroups({
    offer: (entry) => this.#offer(entry),
    withdraw: (entry) => void this.#claimable.remove(entry),
  });
  /** Completed and cancelled tasks, the oldest first. */
  readonly #ended = new LinkedList<TaskEntry>();
  readonly #failed = new LinkedList<TaskEntry>();
  #order = 0;
  /** One counter for the queue: an ID that is used again never meets a fence it has had before. */
  #fence: number;

  #ends = 0;
  /** The latest. */
  #moment: Moment = { at: 0, body: ENQUEUED };

  constructor(
    private bounds: MemoryBounds,
    fence: number,
  ) {
    this.#fence = fence;
  }

  get stats(): QueueStats {
    return { ...this.#counts };
  }

  get meter(): QueueMeter {
    const head = this.#claimable.first;
    return {
      ...this.counters,
      paused: this.isPaused,
      ...(head === undefined ? {} : { headAddedAt: head.enqueuedAt }),
    };
  }

  get live(): number {
    const { scheduled, waiting, ready, running } = this.#counts;
    return scheduled + waiting + ready + running;
  }

  get hasWork(): boolean {
    return this.#claimable.size > 0 && !this.isPaused;
  }

  /** When something happens by itself next; `Infinity` when nothing will. */
  get nextDue(): number {
    return Math.min(this.#firstDue?.due ?? Infinity, this.#groups.nextDue);
  }

  /** The task to which something happens at this time; without one, it is a group that opens. */
  dueAt(at: number): TaskEntry | undefined {
    const entry = this.#firstDue;
    if (entry?.due === at) return entry;
    this.#groups.sweep(at);
    return undefined;
  }

  /** The live task that has this dedup key. */
  holderOf(dedupKey: string | undefined): TaskEntry | undefined {
    return dedupKey === undefined ? undefined : this.#dedup.get(dedupKey);
  }

  /** Adds a task, as one that is in no heap yet: it is to be made ready, or to wait. */
  add(task: NewTask, parent: TaskEntry | undefined, now: number): TaskEntry {
    const entry = new TaskEntry(task, (this.#order += 1), this.#turns.take(task), now);
    if (task.expireMs !== undefined) entry.expiresAt = now + Math.ceil(task.expireMs);
    this.tasks.set(task.id, entry);
    if (task.dedupKey !== undefined) this.#dedup.set(task.dedupKey, entry);
    if (parent !== undefined) adopt(parent, entry);
    this.#counts[entry.state] += 1;
    this.counters.added += 1;
    this.#groups.join(entry, now);
    this.happened(entry, now, ENQUEUED);
    return entry;
  }

  /** Takes the task that is to be claimed next. */
  start(worker: string, leaseMs: number, now: number): TaskEntry | undefined {
    const entry = this.#claimable.first;
    if (entry === undefined) return undefined;
    this.#claimable.remove(entry);
    if (entry.fence === 0) this.counters.waitedMs += now - entry.startableSince;
    this.counters.started += 1;
    this.#turns.reach(entry.task.priority, entry.turn);
    entry.fence = this.#fence += 1;
    entry.attempt = entry.failures + 1;
    entry.worker = worker;
    entry.startedAt = now;
    entry.expiresAt = Infinity;
    this.lease(entry, now + leaseMs);
    if (entry.groupNode !== undefined) this.#groups.started(entry, now);
    const { attempt } = entry;
    this.happened(entry, now, attempt === 1 ? STARTED_FIRST : { type: "started", attempt });
    return entry;
  }

  lease(entry: TaskEntry, until: number): void {
    this.#move(entry, "running", until);
  }

  makeReadyIn(delayMs: number, entry: TaskEntry, now: number): void {
    if (delayMs > 0) this.#move(entry, "scheduled", now + delayMs);
    else this.makeReady(entry, now);
  }

  makeReady(entry: TaskEntry, now: number): void {
    // Before its first start it could not have been started until now.
    if (entry.state === "waiting") entry.startableSince = now;
    this.#move(entry, "ready", Infinity);
    if (entry.groupNode === undefined) this.#offer(entry);
    else this.#groups.ready(entry);
  }

  wait(
    entry: TaskEntry,
    { events, children = false }: { readonly events?: readonly string[]; readonly children?: boolean },
    until: number = Infinity,
  ): void {
    entry.waitsForEvents = events;
    entry.waitsForChildren = children;
    this.#move(entry, "waiting", until);
  }

  /** Makes a task ready if it waits, and what it waits for has happened. */
  unlessItWaits(entry: TaskEntry, now: number): void {
    if (entry.state !== "waiting") return;
    const { waitsForEvents, waitsForChildren, openChildren, checkpoints } = entry;
    const isTold = waitsForEvents?.some((event) => checkpoints?.has(event) === true) === true;
    if (isTold || (waitsForChildren && openChildren === 0)) this.makeReady(entry, now);
  }

  end(
    entry: TaskEntry,
    state: "completed" | "failed" | "cancelled",
    now: number,
    event: TaskEventBody,
  ): void {
    const { dedupKey, keepMs, keepFailedMs } = entry.task;
    const isFailed = state === "failed";
    if (!isFailed) entry.dropInput();
    this.#claimable.remove(entry);
    entry.expiresAt = Infinity;
    entry.finishedAt = now;
    this.#move(entry, state, now + (isFailed ? keepFailedMs : keepMs));
    this.counters[state] += 1;
    if (dedupKey !== undefined) this.#dedup.delete(dedupKey);
    this.#groups.leave(entry, now);
    if (this.live === 0) this.#turns.clear();
    this.happened(entry, now, event);
    const parent = released(entry);
    if (parent !== undefined) this.unlessItWaits(parent, now);
    const list = isFailed ? this.#failed : this.#ended;
    entry.endedAs = this.#ends += 1;
    entry.endedNode = list.append(entry);
    if (list.size > (isFailed ? this.bounds.maxDeadLetters : this.bounds.maxEnded)) this.forget(list.first!);
  }

  /** Makes a failed task as it was when it was new, but for what it is to remember; it is last again. */
  revive(entry: TaskEntry, now: number): void {
    const { task } = entry;
    if (task.dedupKey !== undefined) this.#dedup.set(task.dedupKey, entry);
    this.#failed.delete(entry.endedNode!);
    entry.endedNode = undefined;
    entry.order = this.#order += 1;
    entry.turn = this.#turns.take(task);
    entry.failures = entry.attempt = entry.leaseLosses = entry.backoffState = 0;
    entry.error = entry.progress = undefined;
    this.#groups.join(entry, now, true);
    this.happened(entry, now, { type: "redriven" });
    this.makeReady(entry, now);
  }

  forget(entry: TaskEntry): void {
    (entry.state === "failed" ? this.#failed : this.#ended).delete(entry.endedNode!);
    parted(entry);
    this.#due.remove(entry);
    this.#counts[entry.state] -= 1;
    this.tasks.delete(entry.task.id);
    this.eventWaiters.wake(entry.task.id);
  }

  happened(entry: TaskEntry, now: number, body: TaskEventBody): void {
    // What happens to many tasks in one call is told by the same body.
    if (this.#moment.body !== body || this.#moment.at !== now) this.#moment = { at: now, body };
    entry.events.add(this.#moment, this.bounds.maxEvents);
    this.eventWaiters.wake(entry.task.id);
  }

  deadLetters(max: number, after?: string): TaskStatus[] {
    const entry = after === undefined ? undefined : this.tasks.get(after);
    const node = entry?.state === "failed" ? entry.endedNode : undefined;
    // Behind a task that is gone there is nothing to be found any more.
    if (after !== undefined && node === undefined) return [];
    return this.#failed.page(max, node).map((failed) => failed.status());
  }

  list(state: TaskState, max: number): TaskStatus[] {
    const wanted = Math.min(max, this.#counts[state]);
    const isSo = (entry: TaskEntry): boolean => entry.state === state;
    const found = new Set(this.#likely(state, wanted, isSo));
    // What is in no order of its own: waits without an end, and what is ready but not to be started yet.
    if (found.size < wanted)
      for (const entry of this.tasks.values()) {
        if (isSo(entry)) found.add(entry);
        if (found.size === wanted) break;
      }
    return Array.from(found, (entry) => entry.status());
  }

  /** Keeps more or less from now on. */
  bound(bounds: MemoryBounds): void {
    this.bounds = bounds;
    while (this.#failed.size > bounds.maxDeadLetters) this.forget(this.#failed.first!);
    while (this.#ended.size > bounds.maxEnded) this.forget(this.#ended.first!);
  }

  /** What cannot be told from the tasks. */
  get kept(): KeptBoard {
    return {
      counters: { ...this.counters },
      isPaused: this.isPaused,
      order: this.#order,
      fence: this.#fence,
      ends: this.#ends,
      turns: this.#turns.kept,
      groups: this.#groups.kept,
    };
  }

  /** Makes an empty board as one was of which this was kept. Parents come before their children. */
  restore(kept: KeptBoard, entries: readonly TaskEntry[], now: number): void {
    Object.assign(this.counters, kept.counters);
    this.isPaused = kept.isPaused;
    this.#order = kept.order;
    this.#fence = kept.fence;
    this.#ends = kept.ends;
    this.#turns.restore(kept.turns);
    for (const entry of entries) {
      this.tasks.set(entry.task.id, entry);
      this.#counts[entry.state] += 1;
      if (entry.due < Infinity) this.#dueOf(entry).put(entry);
      if (!hasEnded(entry) && entry.task.dedupKey !== undefined) this.#dedup.set(entry.task.dedupKey, entry);
    }
    for (const entry of entries.filter(hasEnded).sort((a, b) => a.endedAs - b.endedAs))
      entry.endedNode = (entry.state === "failed" ? this.#failed : this.#ended).append(entry);
    const live = entries.filter((entry) => !hasEnded(entry)).sort((a, b) => a.order - b.order);
    for (const entry of live)
      if (entry.state === "ready" && entry.task.group === undefined) this.#offer(entry);
    this.#groups.restore(kept.groups, live, now);
  }

  #likely(state: TaskState, max: number, isSo: (entry: TaskEntry) => boolean): readonly TaskEntry[] {
    if (state === "failed") return this.#failed.latest(max, isSo);
    if (state === "completed" || state === "cancelled") return this.#ended.latest(max, isSo);
    const found: TaskEntry[] = [];
    const line = state === "ready" ? this.#claimable : state === "running" ? this.#leases : this.#due;
    for (const entry of line.items()) {
      if (found.length >= max) break;
      if (isSo(entry)) found.push(entry);
    }
    return found;
  }

  #offer(entry: TaskEntry): void {
    this.#claimable.put(entry);
    if (!this.isPaused) this.workWaiters.wake(WORK);
  }

  get #firstDue(): TaskEntry | undefined {
    const lease = this.#leases.first;
    const other = this.#due.first;
    if (lease === undefined || other === undefined) return lease ?? other;
    return isDueBefore(lease, other) ? lease : other;
  }

  #dueOf({ state }: TaskEntry): OrderedQueue<TaskEntry> {
    return state === "running" ? this.#leases : this.#due;
  }

  #move(entry: TaskEntry, state: TaskState, until: number): void {
    this.#dueOf(entry).remove(entry);
    this.#counts[entry.state] -= 1;
    this.#counts[state] += 1;
    entry.state = state;
    // Whole milliseconds, as time is read: what is due within one is due at its end.
    entry.stateEndsAt = Math.ceil(until);
    entry.due = Math.min(entry.stateEndsAt, entry.expiresAt);
    if (entry.due < Infinity) this.#dueOf(entry).put(entry);
  }
}
