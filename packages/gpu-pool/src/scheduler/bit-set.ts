// A set of small integers, one bit each: two of them are compared 32 members at a time.

export class BitSet {
  #words = new Int32Array(1);
  #size = 0;

  get size(): number {
    return this.#size;
  }

  has(member: number): boolean {
    return ((this.#words[member >>> 5] ?? 0) & (1 << (member & 31))) !== 0;
  }

  add(member: number): void {
    const word = member >>> 5;
    if (word >= this.#words.length) {
      const grown = new Int32Array(Math.max(word + 1, this.#words.length * 2));
      grown.set(this.#words);
      this.#words = grown;
    }
    if (this.has(member)) return;
    this.#words[word]! |= 1 << (member & 31);
    this.#size += 1;
  }

  delete(member: number): void {
    if (!this.has(member)) return;
    this.#words[member >>> 5]! &= ~(1 << (member & 31));
    this.#size -= 1;
  }

  /** The lowest member from `from` on that is in `other` too; -1 when there is none. */
  firstShared(other: BitSet, from = 0): number {
    if (this.#size === 0 || other.#size === 0) return -1;
    const words = this.#words;
    const others = other.#words;
    const length = Math.min(words.length, others.length);
    let word = from >>> 5;
    if (word >= length) return -1;
    // Of the first word, only what is not below `from`.
    let shared = words[word]! & others[word]! & (-1 << (from & 31));
    while (shared === 0) {
      word += 1;
      if (word >= length) return -1;
      shared = words[word]! & others[word]!;
    }
    return word * 32 + 31 - Math.clz32(shared & -shared);
  }

  /** Members in ascending order. */
  *[Symbol.iterator](): Generator<number, void, undefined> {
    for (let at = this.firstShared(this); at >= 0; at = this.firstShared(this, at + 1)) yield at;
  }
}
