// A priority queue of items that mostly come in order: those stand in a row, and only the others go into a heap.
import type { HeapOrder } from "./indexed-heap.ts";
import { IndexedHeap } from "./indexed-heap.ts";

/** Slots of the row that may be empty without it being made anew, beside as many as there are items in it. */
const SPARE_SLOTS = 64;

/**
 * Adding and taking cost O(1) while each item that is added comes behind the last one of the row; otherwise O(log n) of
 * the heap. The place of an item that stands in the row is -2 - its slot, counted from the first one there ever was.
 */
export class RowHeap<T> {
  readonly #heap: IndexedHeap<T>;
  /** In order. A slot is empty whose item was taken out; the last one never is. */
  #row: (T | undefined)[] = [];
  /** Slots that are no more, before those of the row. */
  #gone = 0;
  /** The first slot that is not empty, if there is one. */
  #first = 0;
  #inRow = 0;

  constructor(private readonly order: HeapOrder<T>) {
    this.#heap = new IndexedHeap(order);
  }

  get size(): number {
    return this.#inRow + this.#heap.size;
  }

  /** All items; the first few are roughly those that come first. */
  *items(): Iterable<T> {
    const { items } = this.#heap;
    for (let slot = this.#first, at = 0; slot < this.#row.length || at < items.length; slot += 1, at += 1) {
      const inRow = this.#row[slot];
      if (inRow !== undefined) yield inRow;
      if (at < items.length) yield items[at]!;
    }
  }

  peek(): T | undefined {
    const inRow = this.#row[this.#first];
    const inHeap = this.#heap.peek();
    if (inRow === undefined) return inHeap;
    return inHeap !== undefined && this.order.isBefore(inHeap, inRow) ? inHeap : inRow;
  }

  /** Adds an item, or moves one whose rank has changed. */
  put(item: T): void {
    this.delete(item);
    const last = this.#row[this.#row.length - 1];
    if (last !== undefined && this.order.isBefore(item, last)) return this.#heap.put(item);
    this.order.setPlace(item, -2 - this.#gone - this.#row.length);
    this.#row.push(item);
    this.#inRow += 1;
  }

  pop(): T | undefined {
    const first = this.peek();
    if (first !== undefined) this.delete(first);
    return first;
  }

  /** Takes an item out; does nothing when it is not in. */
  delete(item: T): void {
    const place = this.order.placeOf(item);
    if (place < -1) this.#leave(item, place);
    else this.#heap.delete(item);
  }

  #leave(item: T, place: number): void {
    const row = this.#row;
    this.order.setPlace(item, -1);
    row[-2 - place - this.#gone] = undefined;
    this.#inRow -= 1;
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
    for (const [slot, item] of this.#row.entries()) this.order.setPlace(item!, -2 - slot);
  }
}
