// The manual clock's pending timers: a binary heap, so that simulations with many timers stay fast.

/** A timer in the heap. */
export interface HeapTimer {
  readonly due: number;
  /** Order of setting, which decides between timers due at the same moment. */
  readonly order: number;
  readonly callback: () => void;
  /** Its place in the heap; -1 when it is in none. */
  index: number;
}

/** Timers by due time, then by order. Adding, removing and taking the next cost O(log n). */
export class TimerHeap {
  readonly #timers: HeapTimer[] = [];

  get size(): number {
    return this.#timers.length;
  }

  /** The timer that is due first. */
  get next(): HeapTimer | undefined {
    return this.#timers[0];
  }

  add(timer: HeapTimer): void {
    this.#timers.push(timer);
    this.#rise(timer, this.#timers.length - 1);
  }

  /** Takes a timer out, if it is in. */
  remove(timer: HeapTimer): void {
    if (timer.index === -1) return;
    const last = this.#timers.pop()!;
    if (last !== timer) {
      if (comesBefore(last, timer)) this.#rise(last, timer.index);
      else this.#sink(last, timer.index);
    }
    timer.index = -1;
  }

  #rise(timer: HeapTimer, from: number): void {
    let index = from;
    while (index > 0) {
      const parentIndex = (index - 1) >> 1;
      const parent = this.#timers[parentIndex]!;
      if (comesBefore(parent, timer)) break;
      this.#place(parent, index);
      index = parentIndex;
    }
    this.#place(timer, index);
  }

  #sink(timer: HeapTimer, from: number): void {
    let index = from;
    for (;;) {
      const left = this.#timers[2 * index + 1];
      const right = this.#timers[2 * index + 2];
      const child = left !== undefined && right !== undefined && comesBefore(right, left) ? right : left;
      if (child === undefined || comesBefore(timer, child)) break;
      const freed = child.index;
      this.#place(child, index);
      index = freed;
    }
    this.#place(timer, index);
  }

  #place(timer: HeapTimer, index: number): void {
    this.#timers[index] = timer;
    timer.index = index;
  }
}

function comesBefore(a: HeapTimer, b: HeapTimer): boolean {
  return a.due === b.due ? a.order < b.order : a.due < b.due;
}
