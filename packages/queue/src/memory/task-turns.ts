// Which turn a new task gets: start-time fair queueing among tenants (Goyal, Vin, Cheng 1996), for each priority.
import type { NewTask } from "../store.ts";
import { MAX_TENANTS, turnCost } from "../store.ts";
import type { HeapOrder } from "./indexed-heap.ts";
import { IndexedHeap } from "./indexed-heap.ts";

/** A tenant that is ahead of the time of its priority. */
interface Tenant {
  readonly name: string;
  nextTurn: number;
  place: number;
}

const soonest: HeapOrder<Tenant> = {
  isBefore: (a, b) => a.nextTurn < b.nextTurn,
  placeOf: (tenant) => tenant.place,
  setPlace: (tenant, place) => (tenant.place = place),
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

  /** Begins anew. */
  clear(): void {
    if (this.#byPriority.size > 0) this.#byPriority.clear();
  }
}

class PriorityTurns {
  #reached = 0;
  readonly #tenants = new Map<string, Tenant>();
  readonly #ahead = new IndexedHeap(soonest);

  take(name: string, cost: number): number {
    let tenant = this.#tenants.get(name);
    if (tenant === undefined) {
      tenant = { name, nextTurn: this.#reached, place: -1 };
      this.#tenants.set(name, tenant);
    }
    const turn = tenant.nextTurn;
    tenant.nextTurn = turn + cost;
    this.#ahead.put(tenant);
    if (this.#tenants.size > MAX_TENANTS) this.reach(this.#ahead.peek()!.nextTurn);
    return turn;
  }

  reach(turn: number): void {
    if (turn <= this.#reached) return;
    this.#reached = turn;
    for (let first = this.#ahead.peek(); first !== undefined && first.nextTurn <= turn;) {
      this.#ahead.delete(first);
      this.#tenants.delete(first.name);
      first = this.#ahead.peek();
    }
  }
}
