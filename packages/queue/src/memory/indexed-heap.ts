// A binary heap whose items can be moved and taken out from anywhere in O(log n): each knows its place.

/** How items are ordered and where each remembers its place; -1 when it is in no heap. */
export interface HeapOrder<T> {
  isBefore(a: T, b: T): boolean;
  placeOf(item: T): number;
  setPlace(item: T, place: number): void;
}

export class IndexedHeap<T> {
  readonly #items: T[] = [];

  constructor(private readonly order: HeapOrder<T>) {}

  get size(): number {
    return this.#items.length;
  }

  /** All items; the first few are roughly those that come first. */
  get items(): readonly T[] {
    return this.#items;
  }

  peek(): T | undefined {
    return this.#items[0];
  }

  /** Adds an item, or moves one whose rank has changed. */
  put(item: T): void {
    let place = this.order.placeOf(item);
    if (place === -1) {
      place = this.#items.length;
      this.#items.push(item);
    }
    if (!this.#rise(item, place)) this.#sink(item, place);
  }

  pop(): T | undefined {
    const first = this.#items[0];
    if (first !== undefined) this.delete(first);
    return first;
  }

  /** Takes an item out; does nothing when it is not in. */
  delete(item: T): void {
    const place = this.order.placeOf(item);
    if (place === -1) return;
    this.order.setPlace(item, -1);
    const last = this.#items.pop()!;
    if (last === item) return;
    if (!this.#rise(last, place)) this.#sink(last, place);
  }

  /** Whether the item went up; if not, it is not placed yet. */
  #rise(item: T, from: number): boolean {
    const items = this.#items;
    let place = from;
    while (place > 0) {
      const above = (place - 1) >>> 1;
      if (!this.order.isBefore(item, items[above]!)) break;
      this.#set(items[above]!, place);
      place = above;
    }
    if (place === from) return false;
    this.#set(item, place);
    return true;
  }

  #sink(item: T, from: number): void {
    const items = this.#items;
    let place = from;
    for (;;) {
      let below = 2 * place + 1;
      if (below >= items.length) break;
      if (below + 1 < items.length && this.order.isBefore(items[below + 1]!, items[below]!)) below += 1;
      if (!this.order.isBefore(items[below]!, item)) break;
      this.#set(items[below]!, place);
      place = below;
    }
    this.#set(item, place);
  }

  #set(item: T, place: number): void {
    this.#items[place] = item;
    this.order.setPlace(item, place);
  }
}
