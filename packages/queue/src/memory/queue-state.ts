// One queue in memory: every rule about who may change what.
import type {
  CancelOutcome,
  Checkpoint,
  ClaimedTask,
  ClaimRequest,
  EnqueueOutcome,
  EnqueueResult,
  FireOutcome,
  LeaseRef,
  NewTask,
  RedriveOutcome,
  ReportRequest,
  Schedule,
  Settlement,
  SignalOutcome,
  WriteOutcome,
} from "../store/store.ts";
import { EXPIRED } from "../store/store.ts";
import type { Payload } from "../task/payload.ts";
import type { TaskEventBody, TaskFailure } from "../task/task-status.ts";
import { hasEnded } from "../task/task-status.ts";
import { Revocations } from "./revocations.ts";
import { Schedules } from "./schedules.ts";
import type { MemoryBounds } from "./task-board.ts";
import { TaskBoard, WORK } from "./task-board.ts";
import type { TaskEntry } from "./task-entry.ts";
import { Waiters } from "./waiters.ts";

const WRITTEN: WriteOutcome = { written: true };
const LEASE_LOST: WriteOutcome = { written: false, cause: "lease_lost" };
const COMPLETED: TaskEventBody = { type: "completed" };
const LOST_TOO_OFTEN: TaskFailure = {
  code: "LEASE_LOST",
  message: "its workers stopped renewing their leases: they died, hung, or could not reach the store",
};

/**
 * Synchronous, so that every verb is atomic. Told the time, which never goes back; keeps no timers. The same calls at
 * the same times make the same state, however often {@link QueueState.sweep} was called between them.
 */
export class QueueState {
  readonly board: TaskBoard;
  readonly schedules: Schedules = new Schedules();
  readonly revokedWaiters: Waiters = new Waiters();
  readonly revocations: Revocations = new Revocations();

  /** @param fence - No fence in it is as low as this. */
  constructor(bounds: MemoryBounds, fence: number) {
    this.board = new TaskBoard(bounds, fence);
  }

  /** Whether there is nothing but counts in it: no task, nothing said, nothing still to come, and nobody waits for anything. */
  get isEmpty(): boolean {
    const { tasks, nextDue, isPaused, workWaiters, eventWaiters } = this.board;
    if (tasks.size > 0 || nextDue < Infinity || isPaused || this.schedules.size > 0) return false;
    return !workWaiters.isWanted && !eventWaiters.isWanted && !this.revokedWaiters.isWanted;
  }

  enqueue(now: number, tasks: readonly NewTask[], limit: number): EnqueueResult {
    const { live } = this.board;
    if (live + tasks.length > limit) {
      // Redrives may have gone beyond the limit: what adds nothing fits all the same.
      const fresh = this.#countNew(tasks);
      if (fresh > 0 && live + fresh > limit) return { full: true, live };
    }
    const parents: TaskEntry[] = [];
    const outcomes = tasks.map((task) => this.#enqueueOne(task, parents, now));
    for (const entry of parents) this.board.unlessItWaits(entry, now);
    return { full: false, outcomes };
  }

  claim(now: number, { worker, max, leaseMs }: ClaimRequest): ClaimedTask[] {
    const claimed: ClaimedTask[] = [];
    if (this.board.isPaused) return claimed;
    while (claimed.length < max) {
      const entry = this.board.start(worker, leaseMs, now);
      if (entry === undefined) break;
      const { id, name, input, maxAttempts, meta } = entry.task;
      const { fence, attempt, backoffState } = entry;
      const checkpoints = entry.checkpoints?.size ?? 0;
      const task = { id, name, input, fence, attempt, maxAttempts, backoffState, checkpoints };
      claimed.push(meta === undefined ? task : { ...task, meta });
    }
    return claimed;
  }

  settle(
    now: number,
    settlements: readonly Settlement[],
    claim?: ClaimRequest,
  ): { readonly outcomes: readonly WriteOutcome[]; readonly claimed: readonly ClaimedTask[] } {
    const outcomes = settlements.map((settlement) =>
      this.#write(settlement, now, (entry) => this.#settleOne(entry, settlement, now)),
    );
    return { outcomes, claimed: claim === undefined ? [] : this.claim(now, claim) };
  }

  renew(now: number, leases: readonly LeaseRef[], leaseMs: number): WriteOutcome[] {
    return leases.map((lease) => this.#write(lease, now, (entry) => this.board.lease(entry, now + leaseMs)));
  }

  report(now: number, requests: readonly ReportRequest[]): WriteOutcome[] {
    return requests.map((request) =>
      this.#write(request, now, (entry) => {
        for (const report of request.reports) {
          if (report.kind === "progress") entry.progress = report.value;
          this.board.happened(
            entry,
            now,
            report.kind === "progress"
              ? { type: "progress", value: report.value }
              : { type: "log", line: report.line },
          );
        }
      }),
    );
  }

  checkpoint(now: number, lease: LeaseRef, checkpoints: readonly Checkpoint[]): WriteOutcome {
    return this.#write(lease, now, (entry) => {
      for (const { name, value } of checkpoints)
        if (record(entry, name, value)) this.board.happened(entry, now, { type: "checkpoint", name });
    });
  }

  signal(now: number, id: string, { name, value }: Checkpoint): SignalOutcome {
    const entry = this.board.tasks.get(id);
    if (entry === undefined) return "unknown";
    if (hasEnded(entry)) return "ended";
    if (!record(entry, name, value)) return "duplicate";
    this.board.happened(entry, now, { type: "signalled", name });
    this.board.unlessItWaits(entry, now);
    return "delivered";
  }

  cancel(now: number, ids: readonly string[], reason: string): CancelOutcome[] {
    return ids.map((id) => {
      const entry = this.board.tasks.get(id);
      if (entry === undefined) return "unknown";
      if (hasEnded(entry)) return "ended";
      this.#cancelFamily(entry, reason, now);
      return "cancelled";
    });
  }

  redrive(now: number, ids: readonly string[]): RedriveOutcome[] {
    return ids.map((id) => {
      const entry = this.board.tasks.get(id);
      if (entry === undefined) return "unknown";
      if (entry.state !== "failed") return "not_failed";
      if (this.board.holderOf(entry.task.dedupKey) !== undefined) return "duplicate";
      this.board.revive(entry, now);
      return "redriven";
    });
  }

  discard(_now: number, ids: readonly string[]): boolean[] {
    return ids.map((id) => {
      const entry = this.board.tasks.get(id);
      if (entry === undefined || !hasEnded(entry)) return false;
      this.board.forget(entry);
      return true;
    });
  }

  pause(_now: number, paused: boolean): void {
    this.board.isPaused = paused;
    if (this.board.hasWork) this.board.workWaiters.wake(WORK);
  }

  setSchedule(_now: number, schedule: Schedule): boolean {
    return this.schedules.set(schedule);
  }

  removeSchedule(_now: number, key: string): boolean {
    return this.schedules.remove(key);
  }

  fire(now: number, schedule: Schedule, nextAt: number, task: NewTask, limit: number): FireOutcome {
    if (!this.schedules.has(schedule)) return "stale";
    if (this.enqueue(now, [task], limit).full) return "full";
    this.schedules.move(schedule, nextAt);
    return "fired";
  }

  /**
   * Lets everything happen that is due, one thing after the other and each at its own time: it does not matter when this
   * is called. A lease ends at its time, not after it.
   */
  sweep(now: number): void {
    for (let at = this.board.nextDue; at <= now; at = this.board.nextDue) {
      const entry = this.board.dueAt(at);
      if (entry !== undefined) this.#happen(entry, at);
    }
  }

  /** Takes all leases away at once: whoever held them is dead. */
  reopen(now: number): void {
    for (const entry of this.board.tasks.values()) if (entry.state === "running") this.#loseLease(entry, now);
  }

  /** Ends all waits. */
  close(): void {
    const { workWaiters, eventWaiters } = this.board;
    for (const waiters of [workWaiters, eventWaiters, this.revokedWaiters]) waiters.wakeAll();
  }

  #enqueueOne(task: NewTask, parents: TaskEntry[], now: number): EnqueueOutcome {
    const { id } = task;
    if (this.board.tasks.has(id)) return { outcome: "exists", id };
    const holder = this.board.holderOf(task.dedupKey);
    if (holder !== undefined) return { outcome: "duplicate", id: holder.task.id };
    const parent = task.parent === undefined ? undefined : this.board.tasks.get(task.parent);
    if (task.parent !== undefined && (parent === undefined || hasEnded(parent)))
      return { outcome: "no_parent", id };
    const entry = this.board.add(task, parent, now);
    if (task.waitsForChildren === true) {
      this.board.wait(entry, { children: true });
      parents.push(entry);
    } else this.board.makeReadyIn(task.delayMs, entry, now);
    return { outcome: "enqueued", id };
  }

  #countNew(tasks: readonly NewTask[]): number {
    const ids = new Set<string>();
    const keys = new Set<string>();
    for (const { id, dedupKey, parent } of tasks) {
      if (this.board.tasks.has(id) || ids.has(id)) continue;
      if (dedupKey !== undefined && (keys.has(dedupKey) || this.board.holderOf(dedupKey) !== undefined))
        continue;
      if (parent !== undefined && !ids.has(parent) && !this.#isLive(parent)) continue;
      ids.add(id);
      if (dedupKey !== undefined) keys.add(dedupKey);
    }
    return ids.size;
  }

  #isLive(id: string): boolean {
    const entry = this.board.tasks.get(id);
    return entry !== undefined && !hasEnded(entry);
  }

  /** Writes what the holder of a lease has to say, if it is held. */
  #write({ id, fence }: LeaseRef, now: number, write: (entry: TaskEntry) => void): WriteOutcome {
    const entry = this.board.tasks.get(id);
    if (entry?.state === "running" && entry.fence === fence && now < entry.due) {
      write(entry);
      return WRITTEN;
    }
    if (entry?.state !== "cancelled" || entry.fence !== fence) return LEASE_LOST;
    return { written: false, cause: "cancelled", reason: entry.cancelReason! };
  }

  #settleOne(entry: TaskEntry, settlement: Settlement, now: number): void {
    const { board } = this;
    switch (settlement.kind) {
      case "complete":
        entry.result = settlement.result;
        board.counters.ranMs += now - entry.startedAt;
        return board.end(entry, "completed", now, COMPLETED);
      case "fail":
        return this.#fail(entry, settlement, now);
      case "release":
        board.happened(entry, now, { type: "released" });
        return board.makeReady(entry, now);
      case "suspend":
        return this.#suspend(entry, settlement, now);
    }
  }

  #fail(entry: TaskEntry, { error, retry }: Settlement & { readonly kind: "fail" }, now: number): void {
    const { board } = this;
    entry.failures += 1;
    entry.error = error;
    if (retry === undefined || entry.failures >= entry.task.maxAttempts)
      return board.end(entry, "failed", now, { type: "failed", error });
    entry.backoffState = retry.backoffState;
    board.counters.retried += 1;
    board.happened(entry, now, { type: "retrying", delayMs: retry.delayMs, error });
    board.makeReadyIn(retry.delayMs, entry, now);
  }

  #suspend(entry: TaskEntry, settlement: Settlement & { readonly kind: "suspend" }, now: number): void {
    const { board } = this;
    const { events, children, delayMs } = settlement;
    const waitsFor = {
      ...(events === undefined ? {} : { events }),
      ...(children === true ? { children } : {}),
    };
    const delay = delayMs === undefined ? {} : { delayMs };
    board.happened(entry, now, { type: "suspended", ...waitsFor, ...delay });
    if ((events === undefined && children !== true) || delayMs === 0)
      return board.makeReadyIn(delayMs ?? 0, entry, now);
    board.wait(entry, waitsFor, delayMs === undefined ? Infinity : now + delayMs);
    board.unlessItWaits(entry, now);
  }

  #cancelFamily(root: TaskEntry, reason: string, now: number): void {
    const doomed = [root];
    // It grows while it is gone through: children come behind their parents.
    for (const entry of doomed) {
      for (const child of entry.children?.page(Infinity) ?? []) if (!hasEnded(child)) doomed.push(child);
      const { worker, fence } = entry;
      const wasRunning = entry.state === "running";
      entry.cancelReason = reason;
      this.board.end(entry, "cancelled", now, { type: "cancelled", reason });
      if (!wasRunning) continue;
      this.revocations.add(worker, { id: entry.task.id, fence, reason });
      this.revokedWaiters.wake(worker);
    }
  }

  /** What happens to a task by itself. */
  #happen(entry: TaskEntry, at: number): void {
    if (hasEnded(entry)) this.board.forget(entry);
    else if (entry.expiresAt <= at) this.#cancelFamily(entry, EXPIRED, at);
    else if (entry.state === "running") this.#loseLease(entry, at);
    else this.board.makeReady(entry, at);
  }

  #loseLease(entry: TaskEntry, at: number): void {
    entry.leaseLosses += 1;
    this.board.happened(entry, at, { type: "lease_lost" });
    if (entry.leaseLosses <= entry.task.maxLeaseLosses) return this.board.makeReady(entry, at);
    entry.error = LOST_TOO_OFTEN;
    this.board.end(entry, "failed", at, { type: "failed", error: LOST_TOO_OFTEN });
  }
}

/** Whether there was no checkpoint of this name. */
function record(entry: TaskEntry, name: string, value: Payload): boolean {
  entry.checkpoints ??= new Map();
  if (entry.checkpoints.has(name)) return false;
  entry.checkpoints.set(name, value);
  return true;
}
