// How much comes per millisecond, as an exponentially decaying count: the recent past counts most.

/** Time constant in milliseconds where none is given: what came this long ago counts 37 %. */
const TAU_MS = 1_000;

/** Before this much time has been watched, a rate is that of this much. */
const LEAST_WATCHED_MS = 100;

export class DecayedRate {
  #sum = 0;
  #at = 0;
  #since = -1;

  constructor(private readonly tauMs: number = TAU_MS) {}

  add(now: number, amount: number): void {
    if (this.#since < 0) this.#since = now;
    if (now === this.#at) {
      this.#sum += amount;
      return;
    }
    this.#sum = this.#sum * Math.exp((this.#at - now) / this.tauMs) + amount;
    this.#at = now;
  }

  /** Per millisecond. */
  at(now: number): number {
    if (this.#since < 0) return 0;
    const watched = 1 - Math.exp(-Math.max(LEAST_WATCHED_MS, now - this.#since) / this.tauMs);
    return (this.#sum * Math.exp((this.#at - now) / this.tauMs)) / (this.tauMs * watched);
  }
}
