// How much comes per millisecond, as an exponentially decaying count: the recent past counts most.

/** Time constant in milliseconds where none is given: what came this long ago counts 37 %. */
export const TAU_MS = 1_000;

/** Before this much time has been watched, a rate is that of this much. */
const LEAST_WATCHED_MS = 100;

/** After this many time constants what is left of a count is less than the last digit of what is not. */
const FORGOTTEN = 40;

export class DecayedRate {
  #sum = 0;
  #at = 0;
  #since = -1;
  /** What was answered last, and when: a decision asks several times. */
  #answer = 0;
  #answeredAt = -1;

  constructor(private readonly tauMs: number = TAU_MS) {}

  add(now: number, amount: number): void {
    if (this.#since < 0) this.#since = now;
    this.#sum = this.#sum * decay(now - this.#at, this.tauMs) + amount;
    this.#at = now;
    this.#answeredAt = -1;
  }

  /** Per millisecond. */
  at(now: number): number {
    if (now === this.#answeredAt) return this.#answer;
    if (this.#since < 0) return 0;
    const watchedMs = this.tauMs * watched(now - this.#since, this.tauMs);
    this.#answer = (this.#sum * decay(now - this.#at, this.tauMs)) / watchedMs;
    this.#answeredAt = now;
    return this.#answer;
  }
}

/** What is left of a count after a time. */
export function decay(ms: number, tauMs: number): number {
  return ms === 0 ? 1 : Math.exp(-ms / tauMs);
}

/** The share of a steady rate's count that has come together in a time. */
export function watched(ms: number, tauMs: number): number {
  return ms > FORGOTTEN * tauMs ? 1 : 1 - Math.exp(-Math.max(LEAST_WATCHED_MS, ms) / tauMs);
}
