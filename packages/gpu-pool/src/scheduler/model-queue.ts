// The requests that wait for one model: by priority, then deadline, then who came first, and fair between tenants.
import type { Place } from "@holdfast/core/collections";
import { IndexedHeap, OrderedQueue } from "@holdfast/core/collections";
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
  /** In the heap of its tenant's requests. */
  lanePlace: number;
}

/** One tenant's requests for the model. */
interface Lane<Item extends Queued> {
  readonly tenant: Tenant;
  readonly entries: OrderedQueue<Item>;
  /** What the tenant had used when the lane was put behind the others. */
  spentMs: number;
  turnPlace: number;
  aheadPlace: number;
}

const IN_LANE: Place<Queued> = {
  of: ({ lanePlace }) => lanePlace,
  set: (entry, at) => void (entry.lanePlace = at),
};

export class ModelQueue<Item extends Queued> {
  readonly #lanes = new Map<Tenant, Lane<Item>>();
  /** Lanes whose tenants may go on, by their first request. */
  readonly #inTurn = new IndexedHeap<Lane<Item>>(
    (a, b) => a !== b && goesBefore(a.entries.first!, b.entries.first!),
    { of: ({ turnPlace }) => turnPlace, set: (lane, at) => void (lane.turnPlace = at) },
  );
  /** Lanes whose tenants are ahead of their share, the least of them first. */
  readonly #ahead = new IndexedHeap<Lane<Item>>(
    (a, b) => (a.spentMs === b.spentMs ? a.tenant.name < b.tenant.name : a.spentMs < b.spentMs),
    { of: ({ aheadPlace }) => aheadPlace, set: (lane, at) => void (lane.aheadPlace = at) },
  );
  /** How many there are of each priority, while there are several; while there is one, it is the first. */
  readonly #priorities = new Map<number, number>();
  #onlyPriority = 0;
  /** The lane used last, also once it has run empty: most models have one tenant's requests, and run empty all the time. */
  #recent: Lane<Item> | undefined;
  #size = 0;
  #units = 0;

  constructor(private readonly ledger: TenantLedger) {}

  /** Requests that wait. */
  get size(): number {
    return this.#size;
  }

  /** Their sizes, summed up. */
  get units(): number {
    return this.#units;
  }

  /** Whether all have one priority. */
  get isUniform(): boolean {
    return this.#priorities.size === 0;
  }

  /** The request that goes before all others. */
  get first(): Item | undefined {
    if (this.#lanes.size > 1) this.#settle();
    else if (this.#recent !== undefined && this.#recent.entries.size > 0) return this.#recent.entries.first;
    return (this.#inTurn.first ?? this.#ahead.first)?.entries.first;
  }

  add(entry: Item): void {
    const lane = this.#laneOf(entry.tenant);
    if (lane.entries.size === 0) this.#lanes.set(lane.tenant, lane);
    const before = lane.entries.first;
    lane.entries.put(entry);
    if (lane.entries.first !== before && !this.#ahead.has(lane)) this.#inTurn.put(lane);
    this.#count(entry.request.priority, 1);
    this.#size += 1;
    this.#units += entry.size;
    this.ledger.wait(entry.tenant, 1);
  }

  remove(entry: Item): void {
    const lane = this.#laneOf(entry.tenant);
    const isFirst = lane.entries.first === entry;
    lane.entries.remove(entry);
    if (lane.entries.size === 0) {
      this.#lanes.delete(entry.tenant);
      this.#inTurn.remove(lane);
      this.#ahead.remove(lane);
    } else if (isFirst && !this.#ahead.has(lane)) this.#inTurn.put(lane);
    this.#count(entry.request.priority, -1);
    this.#size -= 1;
    this.#units -= entry.size;
    this.ledger.wait(entry.tenant, -1);
  }

  #laneOf(tenant: Tenant): Lane<Item> {
    if (this.#recent?.tenant === tenant) return this.#recent;
    this.#recent = this.#lanes.get(tenant) ?? {
      tenant,
      entries: new OrderedQueue<Item>(goesBefore, IN_LANE),
      spentMs: 0,
      turnPlace: -1,
      aheadPlace: -1,
    };
    return this.#recent;
  }

  /** Before the size changes. Counts only while priorities differ. */
  #count(priority: number, change: 1 | -1): void {
    if (this.#priorities.size === 0) {
      if (this.#size === 0) this.#onlyPriority = priority;
      if (priority === this.#onlyPriority) return;
      this.#priorities.set(this.#onlyPriority, this.#size);
    }
    const count = (this.#priorities.get(priority) ?? 0) + change;
    if (count > 0) {
      this.#priorities.set(priority, count);
      return;
    }
    this.#priorities.delete(priority);
    if (this.#priorities.size > 1) return;
    for (const only of this.#priorities.keys()) this.#onlyPriority = only;
    this.#priorities.clear();
  }

  /** Puts lanes behind whose tenants have got ahead, and back those whose turn it is again. */
  #settle(): void {
    for (let lane = this.#inTurn.first; lane !== undefined; lane = this.#inTurn.first) {
      if (!this.ledger.isAhead(lane.tenant)) break;
      this.#inTurn.remove(lane);
      lane.spentMs = lane.tenant.spentMs;
      this.#ahead.put(lane);
    }
    for (let lane = this.#ahead.first; lane !== undefined; lane = this.#ahead.first) {
      if (!this.ledger.isAhead(lane.tenant)) {
        this.#ahead.remove(lane);
        this.#inTurn.put(lane);
      } else if (lane.spentMs !== lane.tenant.spentMs) {
        // It was served for another model meanwhile.
        lane.spentMs = lane.tenant.spentMs;
        this.#ahead.put(lane);
      } else break;
    }
  }
}

function goesBefore(a: Queued, b: Queued): boolean {
  if (a.level !== b.level) return a.level < b.level;
  if (a.request.deadline !== b.request.deadline) return a.request.deadline < b.request.deadline;
  return a.order < b.order;
}
