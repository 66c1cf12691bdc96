// Whose request goes next while several tenants wait for one model: the first, but of those who are ahead of their share.
import type { OrderedQueue } from "@holdfast/core/collections";
import { IndexedHeap } from "@holdfast/core/collections";
import type { Tenant, TenantLedger } from "./tenants.ts";

/** One tenant's requests for the model. */
export interface Lane<Item> {
  readonly tenant: Tenant;
  readonly entries: OrderedQueue<Item>;
  /** What the tenant had used when the lane was put behind the others. */
  spentMs: number;
  turnPlace: number;
  aheadPlace: number;
}

export class TenantTurns<Item> {
  readonly #lanes = new Map<Tenant, Lane<Item>>();
  /** Lanes whose tenants may go on, by their first request. */
  readonly #inTurn: IndexedHeap<Lane<Item>>;
  /** Lanes whose tenants are ahead of their share, the least of them first. */
  readonly #ahead = new IndexedHeap<Lane<Item>>(
    (a, b) => (a.spentMs === b.spentMs ? a.tenant.name < b.tenant.name : a.spentMs < b.spentMs),
    { of: ({ aheadPlace }) => aheadPlace, set: (lane, at) => void (lane.aheadPlace = at) },
  );

  constructor(
    private readonly ledger: TenantLedger,
    goesBefore: (a: Item, b: Item) => boolean,
  ) {
    this.#inTurn = new IndexedHeap((a, b) => a !== b && goesBefore(a.entries.first!, b.entries.first!), {
      of: ({ turnPlace }) => turnPlace,
      set: (lane, at) => void (lane.turnPlace = at),
    });
  }

  /** Lanes with requests. */
  get size(): number {
    return this.#lanes.size;
  }

  /** The request that goes before all others. */
  get first(): Item | undefined {
    this.#settle();
    return (this.#inTurn.first ?? this.#ahead.first)?.entries.first;
  }

  get(tenant: Tenant): Lane<Item> | undefined {
    return this.#lanes.get(tenant);
  }

  /** Any of them, such as the last one left. */
  get any(): Lane<Item> | undefined {
    return this.#inTurn.first ?? this.#ahead.first;
  }

  /** It has got its first request, or another first one. */
  put(lane: Lane<Item>): void {
    this.#lanes.set(lane.tenant, lane);
    if (!this.#ahead.has(lane)) this.#inTurn.put(lane);
  }

  delete(lane: Lane<Item>): void {
    this.#lanes.delete(lane.tenant);
    this.#inTurn.remove(lane);
    this.#ahead.remove(lane);
  }

  /** Puts lanes behind whose tenants have got ahead, and back those whose turn it is again. */
  #settle(): void {
    for (let lane = this.#inTurn.first; lane !== undefined; lane = this.#inTurn.first) {
      if (this.ledger.aheadBy(lane.tenant) === 0) break;
      this.#inTurn.remove(lane);
      lane.spentMs = lane.tenant.spentMs;
      this.#ahead.put(lane);
    }
    for (let lane = this.#ahead.first; lane !== undefined; lane = this.#ahead.first) {
      if (this.ledger.aheadBy(lane.tenant) === 0) {
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
