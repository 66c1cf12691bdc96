// What a queue is to do, said as plainly as possible: one list, scanned for everything.
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
  QueueMeter,
  RedriveOutcome,
  Schedule,
  Settlement,
  SignalOutcome,
  WriteOutcome,
} from "../../store/store.ts";
import { EXPIRED, turnCost } from "../../store/store.ts";
import { ReferenceGroups } from "./reference-groups.ts";
import type { ReferenceTask } from "./reference-task.ts";
import { due, isLive, record } from "./reference-task.ts";

const LOST: WriteOutcome = { written: false, cause: "lease_lost" };
const WRITTEN: WriteOutcome = { written: true };

export class ReferenceQueue {
  now = 0;
  tasks: ReferenceTask[] = [];
  schedules: Schedule[] = [];
  isPaused = false;
  /** Every lease there ever was. */
  readonly leases: LeaseRef[] = [];
  readonly highestFence: Map<string, number> = new Map();
  readonly meter: { -readonly [K in keyof Omit<QueueMeter, "headAddedAt" | "paused">]: number } = {
    added: 0,
    started: 0,
    completed: 0,
    failed: 0,
    cancelled: 0,
    retried: 0,
    waitedMs: 0,
    ranMs: 0,
  };
  readonly #groups = new ReferenceGroups();
  /** The highest turn that was claimed, by priority; the next turn, by priority and tenant. */
  readonly #reached = new Map<number, number>();
  readonly #next = new Map<string, number>();
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
    return Math.min(...this.tasks.map(due), this.#groups.nextDue(this.now));
  }

  advance(ms: number): void {
    const until = this.now + ms;
    for (;;) {
      const next = this.tasks
        .filter((entry) => due(entry) <= until)
        .toSorted((a, b) => due(a) - due(b) || a.order - b.order)[0];
      if (next === undefined) break;
      this.now = Math.max(this.now, due(next));
      this.#happen(next);
    }
    this.now = until;
  }

  enqueue(tasks: readonly NewTask[], limit: number): EnqueueResult {
    const outcomes = this.#outcomes(tasks);
    const added = tasks.filter((_, index) => outcomes[index]!.outcome === "enqueued");
    const live = this.live.length;
    if (added.length > 0 && live + added.length > limit) return { full: true, live };
    for (const task of added) this.#add(task);
    for (const { id } of added) this.#goOn(this.find(id)!);
    return { full: false, outcomes };
  }

  /** What may be claimed next, or might if the queue were not paused: one, or several of equal turns. */
  next(paused: boolean = false): readonly ReferenceTask[] {
    if (this.isPaused && !paused) return [];
    const ready = this.tasks.filter((entry) => entry.state === "ready" && this.#mayStart(entry));
    const priority = Math.max(...ready.map(({ task }) => task.priority));
    const first = ready.filter(({ task }) => task.priority === priority);
    const turn = Math.min(...first.map((entry) => entry.turn));
    return first.filter((entry) => entry.turn === turn);
  }

  /** Leases a task as the store did. */
  lease(entry: ReferenceTask, { leaseMs }: ClaimRequest, { id, fence }: ClaimedTask): void {
    if (entry.fence === 0) this.meter.waitedMs += this.now - entry.startableAt;
    this.meter.started += 1;
    const { priority } = entry.task;
    this.#reached.set(priority, Math.max(this.#reached.get(priority) ?? 0, entry.turn));
    this.#groups.start(entry.task.group, this.now);
    entry.attempt = entry.failures + 1;
    entry.fence = fence;
    entry.state = "running";
    entry.startedAt = this.now;
    entry.expiresAt = Infinity;
    entry.endsAt = this.now + leaseMs;
    entry.lastSeq += 1;
    this.leases.push({ id, fence });
    this.highestFence.set(id, fence);
  }

  settle(settlement: Settlement): WriteOutcome {
    return this.#write(settlement, (entry) => {
      switch (settlement.kind) {
        case "complete":
          entry.result = settlement.result.text;
          this.meter.ranMs += this.now - entry.startedAt;
          return this.#end(entry, "completed");
        case "release":
          entry.lastSeq += 1;
          return this.#sleep(entry, 0);
        case "suspend":
          return this.#suspend(entry, settlement);
        case "fail":
          return this.#fail(entry, settlement);
      }
    });
  }

  renew(lease: LeaseRef, leaseMs: number): WriteOutcome {
    return this.#write(lease, (entry) => void (entry.endsAt = this.now + leaseMs));
  }

  report(lease: LeaseRef, value: unknown): WriteOutcome {
    return this.#write(lease, (entry) => {
      entry.progress = value;
      entry.lastSeq += 1;
    });
  }

  checkpoint(lease: LeaseRef, checkpoints: readonly Checkpoint[]): WriteOutcome {
    return this.#write(lease, (entry) => {
      for (const each of checkpoints) record(entry, each);
    });
  }

  signal(id: string, checkpoint: Checkpoint): SignalOutcome {
    const entry = this.find(id);
    if (entry === undefined) return "unknown";
    if (!isLive(entry)) return "ended";
    if (!record(entry, checkpoint)) return "duplicate";
    this.#goOn(entry);
    return "delivered";
  }

  children(id: string): readonly string[] {
    const parent = this.find(id);
    if (parent === undefined) return [];
    return this.tasks.filter((entry) => entry.parent === parent).map(({ task }) => task.id);
  }

  cancel(id: string, reason: string): CancelOutcome {
    const entry = this.find(id);
    if (entry === undefined) return "unknown";
    if (!isLive(entry)) return "ended";
    entry.reason = reason;
    this.#end(entry, "cancelled");
    for (const child of this.live.filter(({ parent }) => parent === entry))
      this.cancel(child.task.id, reason);
    return "cancelled";
  }

  redrive(id: string): RedriveOutcome {
    const entry = this.find(id);
    if (entry === undefined) return "unknown";
    if (entry.state !== "failed") return "not_failed";
    const { dedupKey, group, groupLimit } = entry.task;
    if (dedupKey !== undefined && this.live.some(({ task }) => task.dedupKey === dedupKey))
      return "duplicate";
    this.#groups.join(group, groupLimit, this.#hasLive(group), this.now, true);
    Object.assign(entry, { order: (this.#order += 1), turn: this.#turn(entry.task) });
    Object.assign(entry, { failures: 0, attempt: 0, losses: 0, backoffState: 0, progress: undefined });
    entry.lastSeq += 1;
    this.#sleep(entry, 0);
    return "redriven";
  }

  discard(id: string): boolean {
    const entry = this.find(id);
    if (entry === undefined || isLive(entry)) return false;
    this.#forget(entry);
    return true;
  }

  setSchedule(schedule: Schedule): boolean {
    const known = this.schedules.find(({ key }) => key === schedule.key);
    if (known?.text !== schedule.text)
      this.schedules = [...this.schedules.filter((each) => each !== known), schedule];
    return true;
  }

  removeSchedule(key: string): boolean {
    const before = this.schedules.length;
    this.schedules = this.schedules.filter((each) => each.key !== key);
    return this.schedules.length < before;
  }

  fire(schedule: Schedule, nextAt: number, task: NewTask, limit: number): FireOutcome {
    const known = this.schedules.find(({ key }) => key === schedule.key);
    if (known?.text !== schedule.text || known.nextAt !== schedule.nextAt) return "stale";
    if (this.enqueue([task], limit).full) return "full";
    this.schedules = [...this.schedules.filter((each) => each !== known), { ...schedule, nextAt }];
    return "fired";
  }

  /** Of a store that dies with its workers: what ran has lost its lease. */
  reopen(): void {
    for (const entry of this.live.filter(({ state }) => state === "running")) this.#loseLease(entry);
  }

  /** What would become of new tasks. */
  #outcomes(tasks: readonly NewTask[]): EnqueueOutcome[] {
    const live = this.live.map(({ task }) => task);
    const ids = new Set(this.tasks.map(({ task }) => task.id));
    return tasks.map((task): EnqueueOutcome => {
      const { id, dedupKey, parent } = task;
      if (ids.has(id)) return { outcome: "exists", id };
      const holder = live.find((other) => dedupKey !== undefined && other.dedupKey === dedupKey);
      if (holder !== undefined) return { outcome: "duplicate", id: holder.id };
      if (parent !== undefined && !live.some((other) => other.id === parent))
        return { outcome: "no_parent", id };
      ids.add(id);
      live.push(task);
      return { outcome: "enqueued", id };
    });
  }

  #add(task: NewTask): void {
    const { delayMs, waitsForChildren = false, expireMs = Infinity } = task;
    this.#groups.join(task.group, task.groupLimit, this.#hasLive(task.group), this.now);
    this.meter.added += 1;
    const entry: ReferenceTask = {
      task,
      addedAt: this.now,
      parent: task.parent === undefined ? undefined : this.find(task.parent),
      order: (this.#order += 1),
      turn: this.#turn(task),
      state: "ready",
      endsAt: Infinity,
      expiresAt: this.now + expireMs,
      startableAt: this.now + (waitsForChildren ? 0 : delayMs),
      startedAt: 0,
      waitsFor: {},
      isAwaited: true,
      failures: 0,
      attempt: 0,
      losses: 0,
      fence: 0,
      backoffState: 0,
      lastSeq: 1,
      progress: undefined,
      reason: "",
      result: undefined,
      checkpoints: [],
      endedAs: 0,
    };
    this.tasks.push(entry);
    if (waitsForChildren) this.#wait(entry, { children: true }, Infinity);
    else this.#sleep(entry, delayMs);
  }

  #turn({ priority, tenant = "", weight = 1 }: NewTask): number {
    const key = `${priority} ${tenant}`;
    const turn = Math.max(this.#reached.get(priority) ?? 0, this.#next.get(key) ?? 0);
    this.#next.set(key, turn + turnCost(weight));
    return turn;
  }

  #happen(entry: ReferenceTask): void {
    if (!isLive(entry)) this.#forget(entry);
    else if (entry.expiresAt <= this.now) this.cancel(entry.task.id, EXPIRED);
    else if (entry.state !== "running") this.#wake(entry);
    else this.#loseLease(entry);
  }

  #loseLease(entry: ReferenceTask): void {
    entry.losses += 1;
    entry.lastSeq += 1;
    if (entry.losses > entry.task.maxLeaseLosses) this.#end(entry, "failed");
    else this.#sleep(entry, 0);
  }

  #fail(entry: ReferenceTask, { retry }: Settlement & { readonly kind: "fail" }): void {
    entry.failures += 1;
    if (retry === undefined || entry.failures >= entry.task.maxAttempts) return this.#end(entry, "failed");
    this.meter.retried += 1;
    entry.backoffState = retry.backoffState;
    entry.lastSeq += 1;
    this.#sleep(entry, retry.delayMs);
  }

  #suspend(
    entry: ReferenceTask,
    { events, children = false, delayMs }: Settlement & { kind: "suspend" },
  ): void {
    entry.lastSeq += 1;
    if (delayMs === 0 || (events === undefined && !children)) return this.#sleep(entry, delayMs ?? 0);
    const waitsFor = { ...(events === undefined ? {} : { events }), ...(children ? { children } : {}) };
    this.#wait(entry, waitsFor, this.now + (delayMs ?? Infinity));
    this.#goOn(entry);
  }

  #wait(entry: ReferenceTask, waitsFor: ReferenceTask["waitsFor"], until: number): void {
    Object.assign(entry, { state: "waiting", waitsFor, endsAt: until });
  }

  /** Ends a wait for what has happened. */
  #goOn(entry: ReferenceTask): void {
    const { events, children } = entry.waitsFor;
    const isTold = entry.checkpoints.some(({ name }) => events?.includes(name));
    const isAlone = !this.live.some(({ parent, isAwaited }) => parent === entry && isAwaited);
    if (entry.state === "waiting" && (isTold || (children === true && isAlone))) this.#wake(entry);
  }

  #wake(entry: ReferenceTask): void {
    if (entry.state === "waiting") entry.startableAt = this.now;
    this.#sleep(entry, 0);
  }

  #sleep(entry: ReferenceTask, delayMs: number): void {
    const endsAt = delayMs > 0 ? this.now + delayMs : Infinity;
    Object.assign(entry, { state: delayMs > 0 ? "scheduled" : "ready", endsAt });
  }

  #end(entry: ReferenceTask, state: "completed" | "failed" | "cancelled"): void {
    entry.state = state;
    entry.endsAt = this.now + (state === "failed" ? entry.task.keepFailedMs : entry.task.keepMs);
    entry.expiresAt = Infinity;
    entry.lastSeq += 1;
    entry.endedAs = this.#ends += 1;
    entry.isAwaited = false;
    this.meter[state] += 1;
    if (this.live.length === 0) for (const turns of [this.#reached, this.#next]) turns.clear();
    if (entry.parent !== undefined) this.#goOn(entry.parent);
  }

  #forget(entry: ReferenceTask): void {
    this.tasks = this.tasks.filter((other) => other !== entry);
  }

  #hasLive(group: string | undefined): boolean {
    return this.live.some(({ task }) => task.group === group);
  }

  #mayStart({ task, order }: ReferenceTask): boolean {
    if (task.group === undefined) return true;
    const before = this.live.filter((other) => other.task.group === task.group && other.order < order);
    return this.#groups.mayStart(task.group, before.length, this.now);
  }

  #write({ id, fence }: LeaseRef, write: (entry: ReferenceTask) => void): WriteOutcome {
    const entry = this.find(id);
    if (entry?.state === "running" && entry.fence === fence) {
      write(entry);
      return WRITTEN;
    }
    if (entry?.state !== "cancelled" || entry.fence !== fence) return LOST;
    return { written: false, cause: "cancelled", reason: entry.reason };
  }
}
