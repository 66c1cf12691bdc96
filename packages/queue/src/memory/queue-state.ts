// One queue in memory: which task is where, and every rule about who may change it.
import type {
  CancelOutcome,
  ClaimedTask,
  ClaimRequest,
  EnqueueOutcome,
  EnqueueResult,
  LeaseRef,
  NewTask,
  QueueStats,
  RedriveOutcome,
  ReportRequest,
  Settlement,
  WriteOutcome,
} from "../store.ts";
import type { TaskEventBody, TaskFailure, TaskState, TaskStatus } from "../task-status.ts";
import { hasEnded } from "../task-status.ts";
import { IndexedHeap } from "./indexed-heap.ts";
import { LinkedList } from "./linked-list.ts";
import { Revocations } from "./revocations.ts";
import { dueOrder, readyOrder, TaskEntry } from "./task-entry.ts";
import { TaskGroups } from "./task-groups.ts";
import { Waiters } from "./waiters.ts";

/** What a queue in memory keeps at most. */
export interface MemoryBounds {
  readonly maxEnded: number;
  readonly maxDeadLetters: number;
  readonly maxEvents: number;
}

const WRITTEN: WriteOutcome = { written: true };
const LEASE_LOST: WriteOutcome = { written: false, cause: "lease_lost" };
const LOST_TOO_OFTEN: TaskFailure = {
  code: "LEASE_LOST",
  message: "its workers stopped renewing their leases: they died, hung, or could not reach the store",
};
/** Key of those who wait for work. */
const WORK = "";

/** Synchronous, so that every method is atomic. Told the time; keeps no timers. */
export class QueueState {
  readonly tasks: Map<string, TaskEntry> = new Map();
  readonly workWaiters: Waiters = new Waiters();
  readonly eventWaiters: Waiters = new Waiters();
  readonly revokedWaiters: Waiters = new Waiters();
  readonly revocations: Revocations = new Revocations();
  /** What can be claimed: ready, and first of its group. */
  readonly #claimable = new IndexedHeap(readyOrder);
  /** Everything that happens by itself: delays end, leases run out, ended tasks go. */
  readonly #due = new IndexedHeap(dueOrder);
  readonly #dedup = new Map<string, TaskEntry>();
  readonly #groups = new TaskGroups();
  /** Completed and cancelled tasks, the oldest first. */
  readonly #ended = new LinkedList<TaskEntry>();
  readonly #failed = new LinkedList<TaskEntry>();
  readonly #counts: Record<TaskState, number> = {
    scheduled: 0,
    ready: 0,
    running: 0,
    completed: 0,
    failed: 0,
    cancelled: 0,
  };
  #order = 0;
  /** One counter for the queue: an ID that is used again never meets a fence it has had before. */
  #fence = 0;

  constructor(private readonly bounds: MemoryBounds) {}

  get stats(): QueueStats {
    return { ...this.#counts };
  }

  /** When something happens by itself next; `Infinity` when nothing will. */
  get nextDue(): number {
    return this.#due.peek()?.due ?? Infinity;
  }

  get hasWork(): boolean {
    return this.#claimable.size > 0;
  }

  enqueue(tasks: readonly NewTask[], limit: number, now: number): EnqueueResult {
    const { scheduled, ready, running } = this.#counts;
    const live = scheduled + ready + running;
    if (live + tasks.length > limit) {
      // Redrives may have gone beyond the limit: what adds nothing fits all the same.
      const fresh = this.#countNew(tasks);
      if (fresh > 0 && live + fresh > limit) return { full: true, live };
    }
    return { full: false, outcomes: tasks.map((task) => this.#enqueueOne(task, now)) };
  }

  claim({ worker, max, leaseMs }: ClaimRequest, now: number): ClaimedTask[] {
    const claimed: ClaimedTask[] = [];
    while (claimed.length < max) {
      const entry = this.#claimable.pop();
      if (entry === undefined) break;
      entry.fence = this.#fence += 1;
      entry.attempt = entry.failures + 1;
      entry.worker = worker;
      entry.startedAt = now;
      this.#move(entry, "running", now + leaseMs);
      this.#happened(entry, now, { type: "started", attempt: entry.attempt });
      const { id, name, input, maxAttempts } = entry.task;
      const { fence, attempt, backoffState } = entry;
      claimed.push({ id, name, input, fence, attempt, maxAttempts, backoffState });
    }
    return claimed;
  }

  settle(settlement: Settlement, now: number): WriteOutcome {
    const entry = this.#held(settlement, now);
    if (entry === undefined) return this.#refusal(settlement);
    if (settlement.kind === "complete") {
      entry.result = settlement.result;
      this.#end(entry, "completed", now, { type: "completed" });
    } else if (settlement.kind === "release") {
      this.#happened(entry, now, { type: "released" });
      this.#makeReady(entry);
    } else {
      this.#fail(entry, settlement, now);
    }
    return WRITTEN;
  }

  renew(lease: LeaseRef, leaseMs: number, now: number): WriteOutcome {
    const entry = this.#held(lease, now);
    if (entry === undefined) return this.#refusal(lease);
    this.#move(entry, "running", now + leaseMs);
    return WRITTEN;
  }

  report(request: ReportRequest, now: number): WriteOutcome {
    const entry = this.#held(request, now);
    if (entry === undefined) return this.#refusal(request);
    for (const report of request.reports) {
      if (report.kind === "progress") entry.progress = report.value;
      this.#happened(
        entry,
        now,
        report.kind === "progress"
          ? { type: "progress", value: report.value }
          : { type: "log", line: report.line },
      );
    }
    return WRITTEN;
  }

  cancel(id: string, reason: string, now: number): CancelOutcome {
    const entry = this.tasks.get(id);
    if (entry === undefined) return "unknown";
    if (hasEnded(entry)) return "ended";
    const { worker, fence } = entry;
    const wasRunning = entry.state === "running";
    entry.cancelReason = reason;
    this.#end(entry, "cancelled", now, { type: "cancelled", reason });
    if (wasRunning) {
      this.revocations.add(worker, { id, fence, reason });
      this.revokedWaiters.wake(worker);
    }
    return "cancelled";
  }

  deadLetters(max: number, after?: string): TaskStatus[] {
    const entry = after === undefined ? undefined : this.tasks.get(after);
    const node = entry?.state === "failed" ? entry.endedNode : undefined;
    // Behind a task that is gone there is nothing to be found any more.
    if (after !== undefined && node === undefined) return [];
    return this.#failed.page(max, node).map((failed) => failed.status());
  }

  redrive(id: string, now: number): RedriveOutcome {
    const entry = this.tasks.get(id);
    if (entry === undefined) return "unknown";
    if (entry.state !== "failed") return "not_failed";
    const { dedupKey } = entry.task;
    if (dedupKey !== undefined && this.#dedup.has(dedupKey)) return "duplicate";
    if (dedupKey !== undefined) this.#dedup.set(dedupKey, entry);
    this.#failed.delete(entry.endedNode!);
    entry.endedNode = undefined;
    entry.order = this.#order += 1;
    entry.failures = entry.attempt = entry.leaseLosses = entry.backoffState = 0;
    entry.error = entry.progress = undefined;
    this.#groups.join(entry);
    this.#happened(entry, now, { type: "redriven" });
    this.#makeReady(entry);
    return "redriven";
  }

  discard(id: string): boolean {
    const entry = this.tasks.get(id);
    if (entry === undefined || !hasEnded(entry)) return false;
    this.#forget(entry);
    return true;
  }

  /** Lets everything happen that is due. A lease ends at its time, not after it. */
  sweep(now: number): void {
    for (let entry = this.#due.peek(); entry !== undefined && entry.due <= now; entry = this.#due.peek()) {
      if (entry.state === "scheduled") this.#makeReady(entry);
      else if (entry.state === "running") this.#loseLease(entry, now);
      else this.#forget(entry);
    }
  }

  #enqueueOne(task: NewTask, now: number): EnqueueOutcome {
    if (this.tasks.has(task.id)) return { outcome: "exists", id: task.id };
    const holder = task.dedupKey === undefined ? undefined : this.#dedup.get(task.dedupKey);
    if (holder !== undefined) return { outcome: "duplicate", id: holder.task.id };
    const entry = new TaskEntry(task, (this.#order += 1), now);
    this.tasks.set(task.id, entry);
    if (task.dedupKey !== undefined) this.#dedup.set(task.dedupKey, entry);
    this.#groups.join(entry);
    this.#counts.ready += 1;
    this.#happened(entry, now, { type: "enqueued" });
    if (task.delayMs > 0) this.#move(entry, "scheduled", now + task.delayMs);
    else this.#makeReady(entry);
    return { outcome: "enqueued", id: task.id };
  }

  #countNew(tasks: readonly NewTask[]): number {
    const ids = new Set<string>();
    const keys = new Set<string>();
    for (const { id, dedupKey } of tasks) {
      if (this.tasks.has(id) || ids.has(id)) continue;
      if (dedupKey !== undefined && (this.#dedup.has(dedupKey) || keys.has(dedupKey))) continue;
      ids.add(id);
      if (dedupKey !== undefined) keys.add(dedupKey);
    }
    return ids.size;
  }

  #fail(entry: TaskEntry, { error, retry }: Settlement & { readonly kind: "fail" }, now: number): void {
    entry.failures += 1;
    entry.error = error;
    if (retry === undefined || entry.failures >= entry.task.maxAttempts) {
      this.#end(entry, "failed", now, { type: "failed", error });
      return;
    }
    entry.backoffState = retry.backoffState;
    this.#happened(entry, now, { type: "retrying", delayMs: retry.delayMs, error });
    if (retry.delayMs > 0) this.#move(entry, "scheduled", now + retry.delayMs);
    else this.#makeReady(entry);
  }

  #loseLease(entry: TaskEntry, now: number): void {
    entry.leaseLosses += 1;
    this.#happened(entry, now, { type: "lease_lost" });
    if (entry.leaseLosses <= entry.task.maxLeaseLosses) {
      this.#makeReady(entry);
      return;
    }
    entry.error = LOST_TOO_OFTEN;
    this.#end(entry, "failed", now, { type: "failed", error: LOST_TOO_OFTEN });
  }

  /** The task, if this lease on it is held. */
  #held({ id, fence }: LeaseRef, now: number): TaskEntry | undefined {
    const entry = this.tasks.get(id);
    return entry?.state === "running" && entry.fence === fence && now < entry.due ? entry : undefined;
  }

  #refusal({ id, fence }: LeaseRef): WriteOutcome {
    const entry = this.tasks.get(id);
    if (entry?.state !== "cancelled" || entry.fence !== fence) return LEASE_LOST;
    return { written: false, cause: "cancelled", reason: entry.cancelReason! };
  }

  #makeReady(entry: TaskEntry): void {
    this.#move(entry, "ready", Infinity);
    if (!this.#groups.isFirst(entry)) return;
    this.#claimable.put(entry);
    this.workWaiters.wake(WORK);
  }

  #end(
    entry: TaskEntry,
    state: "completed" | "failed" | "cancelled",
    now: number,
    event: TaskEventBody,
  ): void {
    const { dedupKey, keepMs, keepFailedMs } = entry.task;
    const isFailed = state === "failed";
    this.#claimable.delete(entry);
    this.#move(entry, state, now + (isFailed ? keepFailedMs : keepMs));
    entry.finishedAt = now;
    if (dedupKey !== undefined) this.#dedup.delete(dedupKey);
    const next = this.#groups.leave(entry);
    if (next?.state === "ready") this.#makeReady(next);
    this.#happened(entry, now, event);
    const list = isFailed ? this.#failed : this.#ended;
    entry.endedNode = list.append(entry);
    if (list.size > (isFailed ? this.bounds.maxDeadLetters : this.bounds.maxEnded)) this.#forget(list.first!);
  }

  #forget(entry: TaskEntry): void {
    (entry.state === "failed" ? this.#failed : this.#ended).delete(entry.endedNode!);
    this.#due.delete(entry);
    this.#counts[entry.state] -= 1;
    this.tasks.delete(entry.task.id);
    this.eventWaiters.wake(entry.task.id);
  }

  #move(entry: TaskEntry, state: TaskState, due: number): void {
    this.#counts[entry.state] -= 1;
    this.#counts[state] += 1;
    entry.state = state;
    entry.due = due;
    if (due === Infinity) this.#due.delete(entry);
    else this.#due.put(entry);
  }

  #happened(entry: TaskEntry, now: number, body: TaskEventBody): void {
    entry.events.add(now, body, this.bounds.maxEvents);
    this.eventWaiters.wake(entry.task.id);
  }

  /** Ends all waits. */
  close(): void {
    for (const waiters of [this.workWaiters, this.eventWaiters, this.revokedWaiters]) waiters.wakeAll();
  }
}
