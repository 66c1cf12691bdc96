// A binary heap that knows where each of its items is, so that any of them can be taken out or moved in O(log n).

/**
 * Where an item is in a heap or a queue, kept in the item itself: a `Map` from items to places would cost more than all
 * the rest. -1: not in it. An item that is in several of them has a place for each.
 */
export interface Place<Item> {
  readonly of: (item: Item) => number;
  readonly set: (item: Item, at: number) => void;
}

/**
 * A priority queue: the item that goes before all others in O(1), everything else in O(log n).
 *
 * @example
 * ```ts
 * import { IndexedHeap } from "@holdfast/core/collections";
 *
 * interface Job { readonly name: string; due: number; place: number }
 * const jobs = new IndexedHeap<Job>((a, b) => a.due < b.due, {
 *   of: ({ place }) => place,
 *   set: (job, at) => void (job.place = at),
 * });
 * const later: Job = { name: "later", due: 20, place: -1 };
 * jobs.put(later);
 * jobs.put({ name: "soon", due: 10, place: -1 });
 * later.due = 5;
 * jobs.put(later);
 * jobs.first?.name; // => "later"
 * ```
 */
export class IndexedHeap<Item> {
  readonly #items: Item[] = [];

  /** @param isBefore - Whether one goes before another, which must not change while both are in but by a `put`. */
  constructor(
    private readonly isBefore: (a: Item, b: Item) => boolean,
    private readonly place: Place<Item>,
  ) {}

  get size(): number {
    return this.#items.length;
  }

  /** The item that goes before all others. */
  get first(): Item | undefined {
    return this.#items[0];
  }

  /** All items; the first few are roughly those that come first. */
  get items(): readonly Item[] {
    return this.#items;
  }

  has(item: Item): boolean {
    return this.place.of(item) >= 0;
  }

  /** Puts an item in, or to its new place when its rank has changed. */
  put(item: Item): void {
    let index = this.place.of(item);
    if (index < 0) {
      index = this.#items.length;
      this.#set(index, item);
    }
    this.#sink(this.#rise(index));
  }

  /** Answers whether the item was there. */
  remove(item: Item): boolean {
    const index = this.place.of(item);
    if (index < 0) return false;
    this.place.set(item, -1);
    const last = this.#items.pop() as Item;
    if (index < this.#items.length) {
      this.#set(index, last);
      this.#sink(this.#rise(index));
    }
    return true;
  }

  #rise(index: number): number {
    const item = this.#items[index] as Item;
    let at = index;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = this.#items[parent] as Item;
      if (!this.isBefore(item, above)) break;
      this.#set(at, above);
      at = parent;
    }
    this.#set(at, item);
    return at;
  }

  #sink(index: number): void {
    const item = this.#items[index] as Item;
    let at = index;
    for (;;) {
      const left = 2 * at + 1;
      if (left >= this.#items.length) break;
      const right = left + 1;
      const isRight =
        right < this.#items.length && this.isBefore(this.#items[right] as Item, this.#items[left] as Item);
      const child = isRight ? right : left;
      const below = this.#items[child] as Item;
      if (!this.isBefore(below, item)) break;
      this.#set(at, below);
      at = child;
    }
    this.#set(at, item);
  }

  #set(index: number, item: Item): void {
    this.#items[index] = item;
    this.place.set(item, index);
  }
}
