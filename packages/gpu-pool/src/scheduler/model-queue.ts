// The requests that wait for one model.
import type { Place } from "@holdfast/core/collections";
import { OrderedQueue } from "@holdfast/core/collections";
import type { Queued } from "./mixed-queue.ts";
import { MixedQueue } from "./mixed-queue.ts";
import type { Tenant, TenantLedger } from "./tenants.ts";

const IN_ROW: Place<Queued> = {
  of: ({ lanePlace }) => lanePlace,
  set: (entry, at) => void (entry.lanePlace = at),
};

/**
 * A row, as long as every request goes behind all that wait, in each of their orders: whose turn it is, and who becomes
 * hopeless first. So it is with one tenant, one priority and deadlines that are alike. From the first on that does not
 * go there, and until none is left, they are a `MixedQueue`. What is last is kept here, in numbers: with a thousand
 * models, to look at a request that waits is to wait for the memory.
 */
export class ModelQueue<Item extends Queued> {
  /** Nothing is put in that does not go behind the others. */
  readonly #row = new OrderedQueue<Item>(() => false, IN_ROW);
  #isMixed = false;
  #size = 0;
  #units = 0;
  /** What all in the row have. */
  #tenant: Tenant | undefined;
  #priority = 0;
  /** What the last in the row has. */
  #level = 0;
  #order = 0;
  #deadline = 0;
  #wakeAt = 0;
  /** Made when it is needed first. */
  #mixed: MixedQueue<Item> | undefined;

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
    return !this.#isMixed || this.#mixed!.isUniform;
  }

  /** The request that goes before all others. */
  get first(): Item | undefined {
    return this.#isMixed ? this.#mixed!.first : this.#row.first;
  }

  /** The request that becomes hopeless first; none when none has a deadline. */
  get firstToWake(): Item | undefined {
    if (this.#isMixed) return this.#mixed!.firstToWake;
    const { first } = this.#row;
    return first !== undefined && first.wakeAt < Infinity ? first : undefined;
  }

  add(entry: Item): void {
    if (!this.#isMixed && this.#size > 0 && !this.#goesLast(entry)) this.#mix();
    if (this.#isMixed) this.#mixed!.add(entry);
    else {
      this.#row.put(entry);
      this.#tenant = entry.tenant;
      this.#priority = entry.request.priority;
      this.#level = entry.level;
      this.#order = entry.order;
      this.#deadline = entry.request.deadline;
      this.#wakeAt = entry.wakeAt;
    }
    this.#size += 1;
    this.#units += entry.size;
    this.ledger.wait(entry.tenant, 1);
  }

  remove(entry: Item): void {
    if (this.#isMixed) this.#mixed!.remove(entry);
    else this.#row.remove(entry);
    this.#size -= 1;
    this.#units -= entry.size;
    if (this.#size === 0) this.#isMixed = false;
    this.ledger.wait(entry.tenant, -1);
  }

  /** One that waits becomes hopeless at another time. */
  wakeAt(entry: Item, at: number): void {
    if (!this.#isMixed) this.#mix();
    this.#mixed!.wakeAt(entry, at);
  }

  #goesLast({ tenant, request, level, order, wakeAt }: Item): boolean {
    if (tenant !== this.#tenant || request.priority !== this.#priority || order < this.#order) return false;
    if (wakeAt < this.#wakeAt) return false;
    return level === this.#level ? request.deadline >= this.#deadline : level > this.#level;
  }

  #mix(): void {
    this.#mixed ??= new MixedQueue(this.ledger);
    this.#isMixed = true;
    for (let entry = this.#row.first; entry !== undefined; entry = this.#row.first) {
      this.#row.remove(entry);
      this.#mixed.add(entry);
    }
  }
}
