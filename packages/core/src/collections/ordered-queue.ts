// A priority queue for what mostly comes in order: that stands in a row, and only the rest goes into a heap.
import type { Place } from "./indexed-heap.ts";
import { IndexedHeap } from "./indexed-heap.ts";

/** Slots of the row that may be empty without it being made anew, beside as many as there are items in it. */
const SPARE_SLOTS = 64;

/**
 * As `IndexedHeap`, for items of which most go behind all that are there, such as tasks by age or requests by deadline:
 * adding and taking those costs O(1), and touches none of the others. The rest costs O(log n).
 *
 * @example
 * ```ts
 * import { OrderedQueue } from "@holdfast/core/collections";
 *
 * interface Task { readonly order: number; place: number }
 * const tasks = new OrderedQueue<Task>((a, b) => a.order < b.order, {
 *   of: ({ place }) => place,
 *   set: (task, at) => void (task.place = at),
 * });
 * for (const order of [1, 2, 3]) tasks.put({ order, place: -1 });
 * tasks.put({ order: 0, place: -1 });
 * tasks.first?.order; // => 0
 * tasks.size; // => 4
 * ```
 */
export class OrderedQueue<Item> {
  /** Made for the first item out of order: mostly there is none. */
  #heap: IndexedHeap<Item> | undefined;
  /** In order. A slot is empty whose item was taken out; the last one never is. */
  #row: (Item | undefined)[] = [];
  /** Slots that are no more, before those of the row. */
  #gone = 0;
  /** The first slot that is not empty, if there is one. */
  #first = 0;
  #inRow = 0;

  /**
   * @param isBefore - A strict order: of two different items exactly one goes before the other.
   * @param place - Of an item in the row -2 minus its slot, counted from the first one there ever was.
   */
  constructor(
    private readonly isBefore: (a: Item, b: Item) => boolean,
    private readonly place: Place<Item>,
  ) {}

  get size(): number {
    return this.#inRow + (this.#heap?.size ?? 0);
  }

  /** The item that goes before all others. */
  get first(): Item | undefined {
    const inRow = this.#row[this.#first];
    const inHeap = this.#heap?.first;
    if (inRow === undefined || inHeap === undefined) return inRow ?? inHeap;
    return this.isBefore(inHeap, inRow) ? inHeap : inRow;
  }

  /** All items; the first few are roughly those that come first. */
  *items(): Iterable<Item> {
    const items = this.#heap?.items ?? [];
    for (let slot = this.#first, at = 0; slot < this.#row.length || at < items.length; slot += 1, at += 1) {
      const inRow = this.#row[slot];
      if (inRow !== undefined) yield inRow;
      if (at < items.length) yield items[at]!;
    }
  }

  /** Puts an item in, or to its new place when its rank has changed. */
  put(item: Item): void {
    this.remove(item);
    const last = this.#row[this.#row.length - 1];
    if (last !== undefined && this.isBefore(item, last)) {
      this.#heap ??= new IndexedHeap(this.isBefore, this.place);
      this.#heap.put(item);
      return;
    }
    this.place.set(item, -2 - this.#gone - this.#row.length);
    this.#row.push(item);
    this.#inRow += 1;
  }

  /** Answers whether the item was there. */
  remove(item: Item): boolean {
    const place = this.place.of(item);
    if (place >= -1) return this.#heap?.remove(item) ?? false;
    this.place.set(item, -1);
    this.#row[-2 - place - this.#gone] = undefined;
    this.#inRow -= 1;
    this.#trim();
    return true;
  }

  /** The row begins and ends with an item, and is never much longer than what stands there. */
  #trim(): void {
    const row = this.#row;
    while (row.length > 0 && row[row.length - 1] === undefined) row.pop();
    if (this.#inRow === 0) this.#gone = this.#first = 0;
    else while (row[this.#first] === undefined) this.#first += 1;
    if (this.#first > row.length / 2 + SPARE_SLOTS) this.#dropFirst();
    else if (row.length - this.#first > 2 * this.#inRow + SPARE_SLOTS) this.#closeRanks();
  }

  #dropFirst(): void {
    this.#row.splice(0, this.#first);
    this.#gone += this.#first;
    this.#first = 0;
  }

  #closeRanks(): void {
    this.#row = this.#row.filter((item) => item !== undefined);
    this.#gone = this.#first = 0;
    for (const [slot, item] of this.#row.entries()) this.place.set(item!, -2 - slot);
  }
}
