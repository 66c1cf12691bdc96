// What is due first: a binary heap, whose entries are made void by giving their item another one.

interface Place<Item> {
  readonly at: number;
  /** Of two at the same time, that which was set first comes first. */
  readonly order: number;
  readonly item: Item;
}

/** Items by time. Each has one time: setting another takes the first back. */
export class DueHeap<Item extends object> {
  readonly #heap: Place<Item>[] = [];
  readonly #places = new Map<Item, Place<Item>>();
  #order = 0;

  set(item: Item, at: number): void {
    const place = { at, order: (this.#order += 1), item };
    this.#places.set(item, place);
    this.#rise(this.#heap.push(place) - 1);
    // Void entries are dropped when they come up; many at once when they are the most.
    if (this.#heap.length > 64 && this.#heap.length > 2 * this.#places.size) this.#rebuild();
  }

  delete(item: Item): void {
    this.#places.delete(item);
  }

  /** The time of the first. */
  get firstAt(): number | undefined {
    this.#dropVoid();
    return this.#heap[0]?.at;
  }

  /** Takes the first, if its time is not after `now`. */
  takeDue(now: number): Item | undefined {
    this.#dropVoid();
    const first = this.#heap[0];
    if (first === undefined || first.at > now) return undefined;
    this.#removeFirst();
    this.#places.delete(first.item);
    return first.item;
  }

  #dropVoid(): void {
    for (let first = this.#heap[0]; first !== undefined; first = this.#heap[0]) {
      if (this.#places.get(first.item) === first) return;
      this.#removeFirst();
    }
  }

  #removeFirst(): void {
    const last = this.#heap.pop();
    if (last === undefined || this.#heap.length === 0) return;
    this.#heap[0] = last;
    this.#sink(0);
  }

  #rebuild(): void {
    const places = [...this.#places.values()].sort((a, b) => (isBefore(a, b) ? -1 : 1));
    // Sorted is a heap too.
    this.#heap.splice(0, this.#heap.length, ...places);
  }

  #rise(from: number): void {
    const heap = this.#heap;
    for (let index = from; index > 0;) {
      const parent = (index - 1) >> 1;
      if (isBefore(heap[parent]!, heap[index]!)) return;
      [heap[parent], heap[index]] = [heap[index]!, heap[parent]!];
      index = parent;
    }
  }

  #sink(from: number): void {
    const heap = this.#heap;
    for (let index = from; ;) {
      const left = 2 * index + 1;
      let least = index;
      for (const child of [left, left + 1])
        if (child < heap.length && isBefore(heap[child]!, heap[least]!)) least = child;
      if (least === index) return;
      [heap[least], heap[index]] = [heap[index]!, heap[least]!];
      index = least;
    }
  }
}

function isBefore<Item>(a: Place<Item>, b: Place<Item>): boolean {
  return a.at === b.at ? a.order < b.order : a.at < b.at;
}
