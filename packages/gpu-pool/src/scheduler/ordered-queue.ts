// A priority queue for what mostly comes in the order in which it goes, such as requests by their deadlines.
import type { Place } from "./indexed-heap.ts";
import { IndexedHeap } from "./indexed-heap.ts";

/** Gaps in the row that are put up with, whatever its length. */
const MOST_GAPS = 32;

/**
 * Whoever goes after all others stands at the end of a row, whoever pushes in goes into a heap beside it. What a heap does
 * alone, but the next one is at hand: nothing has to move up. With tens of thousands of requests all over the memory,
 * that was a tenth of a decision.
 */
export class OrderedQueue<Item> {
  /** From `#head` on; who has left from the middle leaves a gap. */
  #row: (Item | undefined)[] = [];
  #head = 0;
  /** What the places in the row count from: its first was the so-many-th. */
  #base = 0;
  #inRow = 0;
  readonly #heap: IndexedHeap<Item>;

  /**
   * @param isBefore - A strict order: of two different items exactly one goes before the other.
   * @param place - Below -1 in the row, -1 outside, otherwise in the heap.
   */
  constructor(
    private readonly isBefore: (a: Item, b: Item) => boolean,
    private readonly place: Place<Item>,
  ) {
    this.#heap = new IndexedHeap(isBefore, place);
  }

  get size(): number {
    return this.#inRow + this.#heap.size;
  }

  /** The item that goes before all others. */
  get first(): Item | undefined {
    const front = this.#row[this.#head];
    const top = this.#heap.first;
    if (top === undefined || front === undefined) return front ?? top;
    return this.isBefore(front, top) ? front : top;
  }

  /** Puts an item in, or to its new place when its rank has changed. */
  put(item: Item): void {
    if (this.place.of(item) < -1) this.remove(item);
    const last = this.#row[this.#row.length - 1];
    if (this.place.of(item) >= 0 || (last !== undefined && !this.isBefore(last, item))) {
      this.#heap.put(item);
      return;
    }
    this.place.set(item, -2 - this.#base - this.#row.length);
    this.#row.push(item);
    this.#inRow += 1;
  }

  remove(item: Item): void {
    const place = this.place.of(item);
    if (place >= -1) {
      this.#heap.remove(item);
      return;
    }
    this.place.set(item, -1);
    this.#row[-2 - place - this.#base] = undefined;
    this.#inRow -= 1;
    this.#trim();
  }

  /** The row begins and ends with an item, and is never much longer than what stands there. */
  #trim(): void {
    const row = this.#row;
    if (this.#inRow === 0) {
      this.#base += row.length;
      this.#head = 0;
      row.length = 0;
      return;
    }
    while (row[this.#head] === undefined) this.#head += 1;
    while (row[row.length - 1] === undefined) row.pop();
    if (row.length - this.#inRow > MOST_GAPS + this.#inRow) this.#closeUp();
  }

  #closeUp(): void {
    this.#base += this.#head;
    this.#head = 0;
    this.#row = this.#row.filter((item) => item !== undefined);
    for (const [index, item] of this.#row.entries()) this.place.set(item!, -2 - this.#base - index);
  }
}
