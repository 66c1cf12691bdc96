// Requests that wait in any order: by priority, then deadline, then who came first, and fair between tenants.
import type { Place } from "@holdfast/core/collections";
import { OrderedQueue } from "@holdfast/core/collections";
import type { Lane } from "./tenant-turns.ts";
import { TenantTurns } from "./tenant-turns.ts";
import type { Tenant, TenantLedger } from "./tenants.ts";

/** What waits. */
export interface Queued {
  readonly request: { readonly priority: number; readonly deadline: number };
  /** Lower goes first: its priority, which waiting raises. */
  readonly level: number;
  /** When it came, among all. */
  readonly order: number;
  readonly size: number;
  readonly tenant: Tenant;
  /** When it becomes hopeless: its deadline, less what it needs at least; `Infinity` without a deadline. */
  wakeAt: number;
  /** In its tenant's requests, and in those by when they become hopeless. */
  lanePlace: number;
  wakePlace: number;
}

const IN_LANE: Place<Queued> = {
  of: ({ lanePlace }) => lanePlace,
  set: (entry, at) => void (entry.lanePlace = at),
};

const BY_WAKE: Place<Queued> = {
  of: ({ wakePlace }) => wakePlace,
  set: (entry, at) => void (entry.wakePlace = at),
};

/** Of one tenant and one priority mostly: what more of them need is there once there are. */
export class MixedQueue<Item extends Queued> {
  /** The lane used last, also once it has run empty, as queues do all the time. */
  #recent: Lane<Item> | undefined;
  /** Has the lanes while there are several; none while there is one, which is the recent one. */
  #turns: TenantTurns<Item> | undefined;
  #isShared = false;
  /** How many there are of each priority, while there are several; while there is one, it is the first. */
  #priorities: Map<number, number> | undefined;
  #onlyPriority = 0;
  #isUniform = true;
  #size = 0;
  /** Those with a deadline. */
  readonly #wakes = new OrderedQueue<Item>(wakesBefore, BY_WAKE);

  constructor(private readonly ledger: TenantLedger) {}

  /** Requests that wait. */
  get size(): number {
    return this.#size;
  }

  /** Whether all have one priority. */
  get isUniform(): boolean {
    return this.#isUniform;
  }

  /** The request that goes before all others. */
  get first(): Item | undefined {
    return this.#isShared ? this.#turns!.first : this.#recent?.entries.first;
  }

  /** The request that becomes hopeless first; none when none has a deadline. */
  get firstToWake(): Item | undefined {
    return this.#wakes.first;
  }

  add(entry: Item): void {
    const lane = this.#laneOf(entry.tenant);
    const before = this.#isShared ? lane.entries.first : undefined;
    lane.entries.put(entry);
    if (this.#isShared && lane.entries.first !== before) this.#turns!.put(lane);
    this.#count(entry.request.priority, 1);
    this.#size += 1;
    if (entry.wakeAt < Infinity) this.#wakes.put(entry);
  }

  remove(entry: Item): void {
    const lane = this.#laneOf(entry.tenant);
    const isFirst = this.#isShared && lane.entries.first === entry;
    lane.entries.remove(entry);
    if (isFirst && lane.entries.size > 0) this.#turns!.put(lane);
    else if (isFirst) this.#leave(lane);
    this.#count(entry.request.priority, -1);
    this.#size -= 1;
    this.#wakes.remove(entry);
  }

  /** It becomes hopeless at another time. */
  wakeAt(entry: Item, at: number): void {
    entry.wakeAt = at;
    this.#wakes.put(entry);
  }

  #laneOf(tenant: Tenant): Lane<Item> {
    const recent = this.#recent;
    if (recent?.tenant === tenant) return recent;
    if (!this.#isShared && recent !== undefined && recent.entries.size > 0) {
      this.#turns ??= new TenantTurns<Item>(this.ledger, goesBefore);
      this.#turns.put(recent);
      this.#isShared = true;
    }
    this.#recent = (this.#isShared ? this.#turns!.get(tenant) : undefined) ?? {
      tenant,
      entries: new OrderedQueue<Item>(goesBefore, IN_LANE),
      spentMs: 0,
      turnPlace: -1,
      aheadPlace: -1,
    };
    return this.#recent;
  }

  /** A tenant has no requests left. */
  #leave(lane: Lane<Item>): void {
    const turns = this.#turns!;
    turns.delete(lane);
    if (turns.size > 1) return;
    this.#recent = turns.any!;
    turns.delete(this.#recent);
    this.#isShared = false;
  }

  /** Before the size changes. Counts only while priorities differ. */
  #count(priority: number, change: 1 | -1): void {
    if (this.#isUniform) {
      if (this.#size === 0) this.#onlyPriority = priority;
      if (priority === this.#onlyPriority) return;
      this.#priorities ??= new Map();
      this.#priorities.set(this.#onlyPriority, this.#size);
      this.#isUniform = false;
    }
    const priorities = this.#priorities!;
    const count = (priorities.get(priority) ?? 0) + change;
    if (count > 0) {
      priorities.set(priority, count);
      return;
    }
    priorities.delete(priority);
    if (priorities.size > 1) return;
    for (const only of priorities.keys()) this.#onlyPriority = only;
    priorities.clear();
    this.#isUniform = true;
  }
}

function goesBefore(a: Queued, b: Queued): boolean {
  if (a.level !== b.level) return a.level < b.level;
  if (a.request.deadline !== b.request.deadline) return a.request.deadline < b.request.deadline;
  return a.order < b.order;
}

/** Which request becomes hopeless first. */
function wakesBefore(a: Queued, b: Queued): boolean {
  return a.wakeAt === b.wakeAt ? a.order < b.order : a.wakeAt < b.wakeAt;
}
