// A map from the numbers of requests to what is kept of them.

/** A slot that is free: no ID is negative. */
const FREE = -1;

/**
 * As a `Map`, for IDs that count up: those that came together lie side by side, where a `Map` spreads them over all its
 * memory. With tens of thousands of requests that was a tenth of a decision. Open addressing, at most half full.
 */
export class IdMap<Value> {
  #ids = new Float64Array(16).fill(FREE);
  #values: (Value | undefined)[] = new Array<Value | undefined>(16).fill(undefined);
  #size = 0;

  get size(): number {
    return this.#size;
  }

  get(id: number): Value | undefined {
    return this.#values[this.#slotOf(id)];
  }

  set(id: number, value: Value): void {
    if (this.#size * 2 >= this.#ids.length) this.#grow();
    const slot = this.#slotOf(id);
    if (this.#ids[slot] === FREE) this.#size += 1;
    this.#ids[slot] = id;
    this.#values[slot] = value;
  }

  delete(id: number): void {
    const ids = this.#ids;
    const mask = ids.length - 1;
    let free = this.#slotOf(id);
    if (ids[free] === FREE) return;
    this.#size -= 1;
    // Whoever had to go further because of it moves up: no mark is left behind that others would have to pass.
    for (let slot = (free + 1) & mask; ids[slot] !== FREE; slot = (slot + 1) & mask) {
      const away = (slot - startOf(ids[slot]!, mask)) & mask;
      if (away < ((slot - free) & mask)) continue;
      ids[free] = ids[slot]!;
      this.#values[free] = this.#values[slot];
      free = slot;
    }
    ids[free] = FREE;
    this.#values[free] = undefined;
  }

  /** Where an ID is, or would be. */
  #slotOf(id: number): number {
    const ids = this.#ids;
    const mask = ids.length - 1;
    let slot = startOf(id, mask);
    while (ids[slot] !== id && ids[slot] !== FREE) slot = (slot + 1) & mask;
    return slot;
  }

  #grow(): void {
    const ids = this.#ids;
    const values = this.#values;
    this.#ids = new Float64Array(ids.length * 2).fill(FREE);
    this.#values = new Array<Value | undefined>(ids.length * 2).fill(undefined);
    for (const [slot, id] of ids.entries()) {
      if (id === FREE) continue;
      const to = this.#slotOf(id);
      this.#ids[to] = id;
      this.#values[to] = values[slot];
    }
  }
}

/** Neighbours stay neighbours; the upper bits are mixed in, so that steps of a power of two do not meet. */
function startOf(id: number, mask: number): number {
  return (id ^ (id >>> 10) ^ (id >>> 20)) & mask;
}
