// First in, first out.

/** A queue whose first entry is taken without moving the others. */
export class Fifo {
  #entries = [];
  #head = 0;

  get size() {
    return this.#entries.length - this.#head;
  }

  add(entry) {
    this.#entries.push(entry);
  }

  take() {
    const entry = this.#entries[this.#head];
    this.#entries[this.#head] = undefined;
    this.#head += 1;
    if (this.#head > 1_000) {
      this.#entries = this.#entries.slice(this.#head);
      this.#head = 0;
    }
    return entry;
  }
}
