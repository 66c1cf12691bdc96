// A map from the numbers of requests to what is kept of them.

/** A slot that is free: no ID is negative. */
const FREE = -1;

/**
 * As a `Map`, for IDs that count up: each has one slot, and those that came together lie side by side, where a `Map`
 * spreads them over all its memory, which was a tenth of a decision with tens of thousands of requests. Whose slot is
 * taken, by one that is much older, goes into a `Map` after all: every step is O(1), whatever the IDs. At most half full.
 */
export class IdMap<Value> {
  #ids = new Float64Array(16).fill(FREE);
  #values: (Value | undefined)[] = new Array<Value | undefined>(16).fill(undefined);
  readonly #others = new Map<number, Value>();
  #inSlots = 0;

  get size(): number {
    return this.#inSlots + this.#others.size;
  }

  /** In no order. */
  *values(): Generator<Value, void, undefined> {
    for (const value of this.#values) if (value !== undefined) yield value;
    yield* this.#others.values();
  }

  get(id: number): Value | undefined {
    const slot = this.#slotOf(id);
    return this.#ids[slot] === id ? this.#values[slot] : this.#others.get(id);
  }

  set(id: number, value: Value): void {
    if (this.size * 2 >= this.#ids.length) this.#grow();
    const slot = this.#slotOf(id);
    // Its slot may have become free since it went to the others.
    if (this.#ids[slot] === FREE && !this.#others.has(id)) {
      this.#ids[slot] = id;
      this.#inSlots += 1;
    }
    if (this.#ids[slot] === id) this.#values[slot] = value;
    else this.#others.set(id, value);
  }

  delete(id: number): void {
    const slot = this.#slotOf(id);
    if (this.#ids[slot] !== id) {
      this.#others.delete(id);
      return;
    }
    this.#ids[slot] = FREE;
    this.#values[slot] = undefined;
    this.#inSlots -= 1;
  }

  #slotOf(id: number): number {
    return id & (this.#ids.length - 1);
  }

  #grow(): void {
    const ids = this.#ids;
    const values = this.#values;
    const others = [...this.#others];
    this.#ids = new Float64Array(ids.length * 2).fill(FREE);
    this.#values = new Array<Value | undefined>(ids.length * 2).fill(undefined);
    this.#others.clear();
    this.#inSlots = 0;
    for (const [slot, id] of ids.entries()) if (id !== FREE) this.set(id, values[slot]!);
    for (const [id, value] of others) this.set(id, value);
  }
}
