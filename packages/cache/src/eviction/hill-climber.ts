// How large the window is: it grows or shrinks as long as that helps.

/** Share of the whole that it begins with, and its limits. */
const FIRST_SHARE = 0.01;
const MIN_SHARE = 0.01;
const MAX_SHARE = 0.8;

/** Share by which it changes at first. */
const FIRST_STEP = 0.0625;
/** Of the step before. */
const STEP_DECAY = 0.9;
/** A change of the hit rate by which everything is different, and the search begins anew. */
const RESTART = 0.03;

/** Questions in a sample, for each entry that there is room for. */
const SAMPLE = 2;
const MIN_SAMPLE = 2_000;
const MAX_SAMPLE = 1_000_000;

/** Hill climbing on the hit rate (Einziger, Eytan, Friedman and Manes, 2018). */
export class HillClimber {
  share: number = FIRST_SHARE;
  #step = FIRST_STEP;
  #asked = 0;
  #hits = 0;
  #lastRate = 0;
  readonly #sample: number;

  constructor(maxEntries: number) {
    this.#sample = Math.min(MAX_SAMPLE, Math.max(MIN_SAMPLE, SAMPLE * maxEntries));
  }

  count(isHit: boolean): void {
    this.#asked += 1;
    if (isHit) this.#hits += 1;
    if (this.#asked >= this.#sample) this.#climb();
  }

  #climb(): void {
    const rate = this.#hits / this.#asked;
    const change = rate - this.#lastRate;
    if (change < 0) this.#step = -this.#step;
    this.share = Math.min(MAX_SHARE, Math.max(MIN_SHARE, this.share + this.#step));
    this.#step = Math.abs(change) >= RESTART ? FIRST_STEP * Math.sign(this.#step) : this.#step * STEP_DECAY;
    this.#lastRate = rate;
    this.#asked = 0;
    this.#hits = 0;
  }
}
