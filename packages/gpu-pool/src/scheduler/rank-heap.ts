// A binary heap of what has a rank of three numbers, and that knows where each of its items is.
import type { Place } from "@holdfast/core/collections";

/** Numbers in a rank. */
const WIDTH = 3;

/**
 * Lower level first, then earlier, then lower order; no two items have the same order. As `IndexedHeap`, but ranks are
 * kept here, side by side: with thousands of items, comparing two costs one look into memory instead of four or more,
 * which was a third of a decision.
 */
export class RankHeap<Item> {
  readonly #items: Item[] = [];
  #ranks = new Float64Array(4 * WIDTH);

  constructor(private readonly place: Place<Item>) {}

  get size(): number {
    return this.#items.length;
  }

  /** The item that goes before all others. */
  get first(): Item | undefined {
    return this.#items[0];
  }

  /** The time of the first item; `Infinity` when there is none. */
  get firstAt(): number {
    return this.#items.length === 0 ? Infinity : this.#ranks[1]!;
  }

  has(item: Item): boolean {
    return this.place.of(item) >= 0;
  }

  /** Puts an item in, or to its new place when its rank has changed. */
  put(item: Item, level: number, at: number, order: number): void {
    let index = this.place.of(item);
    if (index < 0) {
      index = this.#items.length;
      this.#items.push(item);
      if (this.#items.length * WIDTH > this.#ranks.length) this.#grow();
    }
    this.#settle(index, item, level, at, order);
  }

  /** Answers whether the item was there. */
  remove(item: Item): boolean {
    const index = this.place.of(item);
    if (index < 0) return false;
    this.place.set(item, -1);
    const last = this.#items.pop() as Item;
    const from = this.#items.length * WIDTH;
    const ranks = this.#ranks;
    if (last !== item) this.#settle(index, last, ranks[from]!, ranks[from + 1]!, ranks[from + 2]!);
    return true;
  }

  /** Puts an item where it belongs, beginning with a place that is free. */
  #settle(from: number, item: Item, level: number, at: number, order: number): void {
    let index = this.#rise(from, level, at, order);
    // What has risen goes before all that is below it.
    if (index === from) index = this.#sink(from, level, at, order);
    const where = index * WIDTH;
    this.#ranks[where] = level;
    this.#ranks[where + 1] = at;
    this.#ranks[where + 2] = order;
    this.#items[index] = item;
    this.place.set(item, index);
  }

  #rise(from: number, level: number, at: number, order: number): number {
    let index = from;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (!this.#goesAfter(parent, level, at, order)) break;
      this.#move(parent, index);
      index = parent;
    }
    return index;
  }

  #sink(from: number, level: number, at: number, order: number): number {
    const ranks = this.#ranks;
    const { length } = this.#items;
    let index = from;
    for (let child = 2 * index + 1; child < length; child = 2 * index + 1) {
      const right = (child + 1) * WIDTH;
      if (child + 1 < length && this.#goesAfter(child, ranks[right]!, ranks[right + 1]!, ranks[right + 2]!))
        child += 1;
      if (this.#goesAfter(child, level, at, order)) break;
      this.#move(child, index);
      index = child;
    }
    return index;
  }

  #goesAfter(index: number, level: number, at: number, order: number): boolean {
    const ranks = this.#ranks;
    const where = index * WIDTH;
    if (ranks[where] !== level) return ranks[where]! > level;
    if (ranks[where + 1] !== at) return ranks[where + 1]! > at;
    return ranks[where + 2]! > order;
  }

  #move(from: number, to: number): void {
    const ranks = this.#ranks;
    const source = from * WIDTH;
    const target = to * WIDTH;
    ranks[target] = ranks[source]!;
    ranks[target + 1] = ranks[source + 1]!;
    ranks[target + 2] = ranks[source + 2]!;
    const item = this.#items[from] as Item;
    this.#items[to] = item;
    this.place.set(item, to);
  }

  #grow(): void {
    const grown = new Float64Array(this.#ranks.length * 2);
    grown.set(this.#ranks);
    this.#ranks = grown;
  }
}
