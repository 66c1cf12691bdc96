// A binary heap of what has a rank of three numbers, and that knows where each of its items is.

/** Numbers in a rank. */
const WIDTH = 3;

/** The place of what is not in it. */
const NOWHERE = -1;

/**
 * Lower level first, then earlier, then lower order; no two items have the same order. As `IndexedHeap`, but for items
 * that have small numbers of their own: ranks and places are kept here, side by side, so that to move a thousand items
 * past one another touches none of them. With a thousand models that was a third of a decision.
 */
export class RankHeap<Item> {
  /** The numbers of those that are in it, as a heap. */
  #heap = new Int32Array(4);
  #ranks = new Float64Array(4 * WIDTH);
  #size = 0;
  /** By number: where each is in the heap, and the item itself. */
  #places = new Int32Array(4).fill(NOWHERE);
  readonly #items: (Item | undefined)[] = new Array<Item | undefined>(4).fill(undefined);

  /** @param numberOf - Of all items that are in it at a time, each has another. From 0. */
  constructor(private readonly numberOf: (item: Item) => number) {}

  get size(): number {
    return this.#size;
  }

  /** The item that goes before all others. */
  get first(): Item | undefined {
    return this.#size === 0 ? undefined : this.#items[this.#heap[0]!];
  }

  /** The time of the first item; `Infinity` when there is none. */
  get firstAt(): number {
    return this.#size === 0 ? Infinity : this.#ranks[1]!;
  }

  has(item: Item): boolean {
    const number = this.numberOf(item);
    return number < this.#places.length && this.#places[number] !== NOWHERE;
  }

  /** Puts an item in, or to its new place when its rank has changed. */
  put(item: Item, level: number, at: number, order: number): void {
    const number = this.numberOf(item);
    if (number >= this.#places.length) this.#growPlaces(number + 1);
    let index = this.#places[number]!;
    if (index === NOWHERE) {
      index = this.#size;
      this.#size += 1;
      if (this.#size > this.#heap.length) this.#growHeap();
      this.#items[number] = item;
    }
    this.#settle(index, number, level, at, order);
  }

  /** Answers whether the item was there. */
  remove(item: Item): boolean {
    if (!this.has(item)) return false;
    const number = this.numberOf(item);
    const index = this.#places[number]!;
    this.#places[number] = NOWHERE;
    this.#items[number] = undefined;
    this.#size -= 1;
    const last = this.#heap[this.#size]!;
    const from = this.#size * WIDTH;
    const ranks = this.#ranks;
    if (last !== number) this.#settle(index, last, ranks[from]!, ranks[from + 1]!, ranks[from + 2]!);
    return true;
  }

  /** Puts an item where it belongs, beginning with a place that is free. */
  #settle(from: number, number: number, level: number, at: number, order: number): void {
    let index = this.#rise(from, level, at, order);
    // What has risen goes before all that is below it.
    if (index === from) index = this.#sink(from, level, at, order);
    const where = index * WIDTH;
    this.#ranks[where] = level;
    this.#ranks[where + 1] = at;
    this.#ranks[where + 2] = order;
    this.#heap[index] = number;
    this.#places[number] = index;
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
    let index = from;
    for (let child = 2 * index + 1; child < this.#size; child = 2 * index + 1) {
      const right = (child + 1) * WIDTH;
      if (
        child + 1 < this.#size &&
        this.#goesAfter(child, ranks[right]!, ranks[right + 1]!, ranks[right + 2]!)
      )
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
    const number = this.#heap[from]!;
    this.#heap[to] = number;
    this.#places[number] = to;
  }

  #growHeap(): void {
    const heap = new Int32Array(this.#heap.length * 2);
    const ranks = new Float64Array(heap.length * WIDTH);
    heap.set(this.#heap);
    ranks.set(this.#ranks);
    this.#heap = heap;
    this.#ranks = ranks;
  }

  #growPlaces(least: number): void {
    const places = new Int32Array(Math.max(least, this.#places.length * 2)).fill(NOWHERE);
    places.set(this.#places);
    this.#places = places;
    while (this.#items.length < places.length) this.#items.push(undefined);
  }
}
