// How often each of very many keys was seen lately, roughly, in four bits a counter.

/** Counters of a key; it is as frequent as the least of them says. */
const ROWS = 4;

/** Four bits. */
const MAX_COUNT = 15;

/** Counters in one 32-bit word. */
const PER_WORD = 8;

/** Seen keys for each key of the capacity, after which all counters are halved. */
const SAMPLE = 10;

/** Fewest keys that it is made for. */
const MIN_CAPACITY = 64;

/**
 * A count-min sketch (Cormode and Muthukrishnan, 2005) whose counters are halved again and again, so that what was popular
 * once does not stay so (Einziger, Friedman and Manes, 2017). It never tells less than what was counted since, as far as a
 * counter goes; it tells more where keys share all their counters.
 */
export class FrequencySketch {
  #words: Int32Array;
  #capacity: number;
  /** Counters in a row, less one: a power of two, so that it is a mask. */
  #mask: number;
  #seen = 0;

  constructor() {
    this.#capacity = MIN_CAPACITY;
    this.#mask = MIN_CAPACITY * 4 - 1;
    this.#words = new Int32Array((ROWS * (this.#mask + 1)) / PER_WORD);
  }

  /** Makes room for so many keys. What was counted stays. */
  grow(keys: number): void {
    while (this.#capacity < keys) {
      const half = (this.#mask + 1) / PER_WORD;
      const words = new Int32Array(this.#words.length * 2);
      // A key's counter in a row is that of one more bit of its hash: either copy holds what was counted for it.
      for (let row = 0; row < ROWS; row += 1) {
        const old = this.#words.subarray(row * half, (row + 1) * half);
        words.set(old, row * 2 * half);
        words.set(old, row * 2 * half + half);
      }
      this.#words = words;
      this.#capacity *= 2;
      this.#mask = this.#mask * 2 + 1;
    }
  }

  /** One more time. */
  add(hash: number): void {
    const step = stepOf(hash);
    const words = this.#words;
    const mask = this.#mask;
    let isCounted = false;
    for (let row = 0, at = hash, base = 0; row < ROWS; row += 1) {
      const index = base + (at & mask);
      const shift = (index & 7) << 2;
      const word = words[index >>> 3]!;
      if (((word >>> shift) & MAX_COUNT) !== MAX_COUNT) {
        words[index >>> 3] = word + (1 << shift);
        isCounted = true;
      }
      at = (at + step) | 0;
      base += mask + 1;
    }
    if (!isCounted) return;
    this.#seen += 1;
    if (this.#seen >= this.#capacity * SAMPLE) this.#halve();
  }

  /** 0 to 15. */
  estimate(hash: number): number {
    const step = stepOf(hash);
    const mask = this.#mask;
    let least = MAX_COUNT;
    for (let row = 0, at = hash, base = 0; row < ROWS; row += 1) {
      const index = base + (at & mask);
      const count = (this.#words[index >>> 3]! >>> ((index & 7) << 2)) & MAX_COUNT;
      if (count < least) least = count;
      at = (at + step) | 0;
      base += mask + 1;
    }
    return least;
  }

  clear(): void {
    this.#words.fill(0);
    this.#seen = 0;
  }

  #halve(): void {
    const words = this.#words;
    for (let at = 0; at < words.length; at += 1) words[at] = (words[at]! >>> 1) & 0x77777777;
    this.#seen >>>= 1;
  }
}

/**
 * A text as 32 bits: FNV-1a over its characters, from a seed, then mixed so that every bit depends on all of them.
 */
export function hashOf(text: string, seed: number): number {
  let hash = seed;
  for (let at = 0; at < text.length; at += 1) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return hash ^ (hash >>> 16);
}

/** From one row to the next (Kirsch and Mitzenmacher, 2006); odd, so that it is never none. */
function stepOf(hash: number): number {
  return Math.imul((hash >>> 15) | (hash << 17), 0x9e3779b1) | 1;
}
