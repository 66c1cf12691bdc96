// What a queue is to do, said as plainly as possible: one list, scanned for everything. The model of the model test.
import type {
  CancelOutcome,
  ClaimRequest,
  EnqueueOutcome,
  EnqueueResult,
  LeaseRef,
  NewTask,
  RedriveOutcome,
  Settlement,
  TaskState,
  WriteOutcome,
} from "@holdfast/queue";

export interface ReferenceTask {
  readonly task: NewTask;
  order: number;
  state: TaskState;
  /** When its delay or lease ends, or it is forgotten. */
  due: number;
  failures: number;
  attempt: number;
  losses: number;
  fence: number;
  backoffState: number;
  lastSeq: number;
  progress: unknown;
  reason: string;
  result: string | undefined;
  /** Counts ends, to order dead letters. */
  endedAs: number;
}

const LOST: WriteOutcome = { written: false, cause: "lease_lost" };
const WRITTEN: WriteOutcome = { written: true };

export class ReferenceQueue {
  now = 0;
  tasks: ReferenceTask[] = [];
  /** Every lease there ever was. */
  readonly leases: LeaseRef[] = [];
  readonly highestFence = new Map<string, number>();
  #order = 0;
  #ends = 0;

  find(id: string): ReferenceTask | undefined {
    return this.tasks.find(({ task }) => task.id === id);
  }

  get live(): readonly ReferenceTask[] {
    return this.tasks.filter(isLive);
  }

  get deadLetters(): readonly string[] {
    return this.tasks
      .filter(({ state }) => state === "failed")
      .toSorted((a, b) => a.endedAs - b.endedAs)
      .map(({ task }) => task.id);
  }

  /** The next moment at which something happens by itself. */
  get nextDue(): number {
    return Math.min(...this.tasks.map(({ due }) => due));
  }

  advance(ms: number): void {
    const until = this.now + ms;
    for (;;) {
      const next = this.tasks
        .filter(({ due }) => due <= until)
        .toSorted((a, b) => a.due - b.due || a.order - b.order)[0];
      if (next === undefined) break;
      this.now = Math.max(this.now, next.due);
      this.#happen(next);
    }
    this.now = until;
  }

  enqueue(tasks: readonly NewTask[], limit: number): EnqueueResult {
    const before = { tasks: [...this.tasks], order: this.#order };
    const live = this.live.length;
    const outcomes = tasks.map((task) => this.#add(task));
    if (this.live.length <= limit || outcomes.every(({ outcome }) => outcome !== "enqueued"))
      return { full: false, outcomes };
    this.tasks = before.tasks;
    this.#order = before.order;
    return { full: true, live };
  }

  /** The IDs that are to be claimed, in order. */
  claimable(): readonly ReferenceTask[] {
    return this.tasks
      .filter((entry) => entry.state === "ready" && this.#isItsTurn(entry))
      .toSorted((a, b) => b.task.priority - a.task.priority || a.order - b.order);
  }

  /** Leases a task, under the fence that the store gave it. */
  lease(entry: ReferenceTask, { leaseMs }: ClaimRequest, fence: number): void {
    entry.attempt = entry.failures + 1;
    entry.fence = fence;
    entry.state = "running";
    entry.due = this.now + leaseMs;
    entry.lastSeq += 1;
    this.leases.push({ id: entry.task.id, fence });
    this.highestFence.set(entry.task.id, fence);
  }

  settle(settlement: Settlement): WriteOutcome {
    const entry = this.#held(settlement);
    if (entry === undefined) return this.#refusal(settlement);
    if (settlement.kind === "complete") {
      entry.result = settlement.result.text;
      this.#end(entry, "completed");
    } else if (settlement.kind === "release") {
      entry.lastSeq += 1;
      this.#makeReady(entry);
    } else if (settlement.kind === "fail") {
      entry.failures += 1;
      if (settlement.retry === undefined || entry.failures >= entry.task.maxAttempts)
        this.#end(entry, "failed");
      else this.#retry(entry, settlement.retry.delayMs, settlement.retry.backoffState);
    }
    return WRITTEN;
  }

  renew(lease: LeaseRef, leaseMs: number): WriteOutcome {
    const entry = this.#held(lease);
    if (entry === undefined) return this.#refusal(lease);
    entry.due = this.now + leaseMs;
    return WRITTEN;
  }

  report(lease: LeaseRef, value: unknown): WriteOutcome {
    const entry = this.#held(lease);
    if (entry === undefined) return this.#refusal(lease);
    entry.progress = value;
    entry.lastSeq += 1;
    return WRITTEN;
  }

  cancel(id: string, reason: string): CancelOutcome {
    const entry = this.find(id);
    if (entry === undefined) return "unknown";
    if (!isLive(entry)) return "ended";
    entry.reason = reason;
    this.#end(entry, "cancelled");
    return "cancelled";
  }

  redrive(id: string): RedriveOutcome {
    const entry = this.find(id);
    if (entry === undefined) return "unknown";
    if (entry.state !== "failed") return "not_failed";
    const { dedupKey } = entry.task;
    if (dedupKey !== undefined && this.live.some(({ task }) => task.dedupKey === dedupKey))
      return "duplicate";
    Object.assign(entry, { order: (this.#order += 1), failures: 0, attempt: 0, losses: 0, backoffState: 0 });
    entry.progress = undefined;
    entry.lastSeq += 1;
    this.#makeReady(entry);
    return "redriven";
  }

  discard(id: string): boolean {
    const entry = this.find(id);
    if (entry === undefined || isLive(entry)) return false;
    this.#forget(entry);
    return true;
  }

  #add(task: NewTask): EnqueueOutcome {
    if (this.find(task.id) !== undefined) return { outcome: "exists", id: task.id };
    const { dedupKey } = task;
    const holder = this.live.find((entry) => dedupKey !== undefined && entry.task.dedupKey === dedupKey);
    if (holder !== undefined) return { outcome: "duplicate", id: holder.task.id };
    this.tasks.push({
      task,
      order: (this.#order += 1),
      state: task.delayMs > 0 ? "scheduled" : "ready",
      due: task.delayMs > 0 ? this.now + task.delayMs : Infinity,
      failures: 0,
      attempt: 0,
      losses: 0,
      fence: 0,
      backoffState: 0,
      lastSeq: 1,
      progress: undefined,
      reason: "",
      result: undefined,
      endedAs: 0,
    });
    return { outcome: "enqueued", id: task.id };
  }

  #happen(entry: ReferenceTask): void {
    if (entry.state === "scheduled") this.#makeReady(entry);
    else if (entry.state !== "running") this.#forget(entry);
    else {
      entry.losses += 1;
      entry.lastSeq += 1;
      if (entry.losses > entry.task.maxLeaseLosses) this.#end(entry, "failed");
      else this.#makeReady(entry);
    }
  }

  #retry(entry: ReferenceTask, delayMs: number, backoffState: number): void {
    entry.backoffState = backoffState;
    entry.lastSeq += 1;
    this.#makeReady(entry);
    if (delayMs > 0) Object.assign(entry, { state: "scheduled", due: this.now + delayMs });
  }

  #makeReady(entry: ReferenceTask): void {
    entry.state = "ready";
    entry.due = Infinity;
  }

  #end(entry: ReferenceTask, state: "completed" | "failed" | "cancelled"): void {
    entry.state = state;
    entry.due = this.now + (state === "failed" ? entry.task.keepFailedMs : entry.task.keepMs);
    entry.lastSeq += 1;
    entry.endedAs = this.#ends += 1;
  }

  #forget(entry: ReferenceTask): void {
    this.tasks = this.tasks.filter((other) => other !== entry);
  }

  #isItsTurn({ task, order }: ReferenceTask): boolean {
    return task.group === undefined || !this.live.some((e) => e.task.group === task.group && e.order < order);
  }

  #held({ id, fence }: LeaseRef): ReferenceTask | undefined {
    const entry = this.find(id);
    return entry?.state === "running" && entry.fence === fence ? entry : undefined;
  }

  #refusal({ id, fence }: LeaseRef): WriteOutcome {
    const entry = this.find(id);
    if (entry?.state !== "cancelled" || entry.fence !== fence) return LOST;
    return { written: false, cause: "cancelled", reason: entry.reason };
  }
}

function isLive({ state }: ReferenceTask): boolean {
  return state === "scheduled" || state === "ready" || state === "running";
}
