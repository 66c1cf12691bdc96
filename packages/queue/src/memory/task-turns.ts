// Which turn a new task gets: start-time fair queueing among tenants (Goyal, Vin, Cheng 1996), for each priority.
import type { Place } from "@holdfast/core/collections";
import { IndexedHeap } from "@holdfast/core/collections";
import type { NewTask } from "../store/store.ts";
import { MAX_TENANTS, turnCost } from "../store/store.ts";

/** The turns of a priority: how far they are, and the next ones of tenants that are ahead. */
export type KeptTurns = readonly [
  priority: number,
  reached: number,
  tenants: readonly (readonly [string, number])[],
];

/** A tenant that is ahead of the time of its priority. */
interface Tenant {
  readonly name: string;
  nextTurn: number;
  place: number;
}

const AHEAD: Place<Tenant> = {
  of: (tenant) => tenant.place,
  set: (tenant, at) => void (tenant.place = at),
};

export class TaskTurns {
  readonly #byPriority = new Map<number, PriorityTurns>();

  /** The turn of a task that is added now. */
  take({ priority, tenant = "", weight = 1 }: NewTask): number {
    let turns = this.#byPriority.get(priority);
    if (turns === undefined) this.#byPriority.set(priority, (turns = new PriorityTurns()));
    return turns.take(tenant, turnCost(weight));
  }

  /** A task was claimed: later ones of tenants that were away begin here, and have not saved up turns. */
  reach(priority: number, turn: number): void {
    this.#byPriority.get(priority)?.reach(turn);
  }

  get kept(): readonly KeptTurns[] {
    return Array.from(this.#byPriority, ([priority, turns]) => [priority, turns.reached, turns.tenants]);
  }

  restore(kept: readonly KeptTurns[]): void {
    for (const [priority, reached, tenants] of kept)
      this.#byPriority.set(priority, new PriorityTurns(reached, tenants));
  }

  /** Begins anew. */
  clear(): void {
    if (this.#byPriority.size > 0) this.#byPriority.clear();
  }
}

class PriorityTurns {
  #reached: number;
  readonly #tenants = new Map<string, Tenant>();
  readonly #ahead = new IndexedHeap<Tenant>((a, b) => a.nextTurn < b.nextTurn, AHEAD);

  constructor(reached: number = 0, tenants: readonly (readonly [string, number])[] = []) {
    this.#reached = reached;
    for (const [name, nextTurn] of tenants) this.#add(name, nextTurn);
  }

  get reached(): number {
    return this.#reached;
  }

  get tenants(): readonly (readonly [string, number])[] {
    return Array.from(this.#tenants.values(), ({ name, nextTurn }) => [name, nextTurn]);
  }

  take(name: string, cost: number): number {
    const tenant = this.#tenants.get(name) ?? this.#add(name, this.#reached);
    const turn = tenant.nextTurn;
    tenant.nextTurn = turn + cost;
    this.#ahead.put(tenant);
    if (this.#tenants.size > MAX_TENANTS) this.reach(this.#ahead.first!.nextTurn);
    return turn;
  }

  #add(name: string, nextTurn: number): Tenant {
    const tenant = { name, nextTurn, place: -1 };
    this.#tenants.set(name, tenant);
    this.#ahead.put(tenant);
    return tenant;
  }

  reach(turn: number): void {
    if (turn <= this.#reached) return;
    this.#reached = turn;
    for (let first = this.#ahead.first; first !== undefined && first.nextTurn <= turn;) {
      this.#ahead.remove(first);
      this.#tenants.delete(first.name);
      first = this.#ahead.first;
    }
  }
}
