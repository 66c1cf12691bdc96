// How long batches of a model take on one kind of device: a line fitted to what was measured, and how far off it is.
import type { BatchTimes } from "./contract.ts";

/** What a measurement weighs after the next: the fit follows a device that throttles within some dozen batches. */
const FORGET = 0.98;

/** Batches whose deviation from the line is remembered. */
const REMEMBERED = 100;

/** Two times this close, in milliseconds, are the same: sums of floating point numbers differ in their last digits. */
export const EPSILON_MS = 1e-6;

/** What was measured of batches; times in milliseconds. */
export interface MeasuredTimes extends BatchTimes {
  /** p99 of measured ÷ fitted, over the last 100 batches. From 1. */
  readonly margin: number;
  /** Largest batch. */
  readonly maxBatch: number;
  readonly batches: number;
}

/**
 * `time(units) = α × units + β` by exponentially forgetting least squares, as Clockwork and Nexus model it. Deadlines
 * are kept with the 99th percentile of the last 100 deviations on top, as a factor.
 */
export class BatchProfile {
  #weight = 0;
  #units = 0;
  #unitsSquared = 0;
  #time = 0;
  #timeUnits = 0;
  #perItemMs = 0;
  #fixedMs = 0;
  /** Largest batch that was measured. */
  #largest = 0;
  /** How many were. */
  #batches = 0;
  #fastestMs = Infinity;
  readonly #hasPrior: boolean;
  readonly #ratios = new Float64Array(REMEMBERED);
  #recorded = 0;
  /** The second largest of these, and what is kept on top of the line for it. From 1. */
  #second = 1;
  #margin = 1;

  constructor(prior?: BatchTimes) {
    this.#hasPrior = prior !== undefined;
    if (prior === undefined) return;
    // Two points pin the line down until measurements outweigh them.
    for (const units of [1, 16]) this.#learn(units, prior.perItemMs * units + prior.fixedMs);
    this.#solve();
  }

  get isKnown(): boolean {
    return this.#weight > 0;
  }

  /** α, with the margin. */
  get perItemMs(): number {
    return this.#perItemMs * this.#margin;
  }

  /** β, with the margin. */
  get fixedMs(): number {
    return this.#fixedMs * this.#margin;
  }

  /** p99 of measured ÷ fitted over the last 100 batches. From 1. */
  get margin(): number {
    return this.#margin;
  }

  /** Most units worth trying: twice what is known to work, where nothing was said beforehand. */
  get reach(): number {
    return this.#hasPrior ? Infinity : Math.max(1, this.#largest * 2);
  }

  /** What was measured, the line without its margin; `undefined` before the first batch. */
  get measured(): MeasuredTimes | undefined {
    if (this.#batches === 0) return undefined;
    return {
      perItemMs: this.#perItemMs,
      fixedMs: this.#fixedMs,
      margin: this.#margin,
      maxBatch: this.#largest,
      batches: this.#batches,
    };
  }

  /** The least that a request may need: nothing can be promised within less. 0 while nothing is known. */
  get leastMs(): number {
    return this.isKnown ? Math.min(this.#fastestMs, this.#perItemMs + this.#fixedMs) : 0;
  }

  /** What a batch takes, in 99 of 100 cases at most. 0 while nothing is known. */
  timeOf(units: number): number {
    return (this.#perItemMs * units + this.#fixedMs) * this.#margin;
  }

  /** Most units that end within a time; `Infinity` while nothing is known. */
  unitsWithin(ms: number): number {
    if (!this.isKnown) return Infinity;
    const left = ms / this.#margin - this.#fixedMs - EPSILON_MS;
    return left < 0 ? 0 : this.#perItemMs === 0 ? Infinity : Math.floor(left / this.#perItemMs);
  }

  record(units: number, ms: number): void {
    if (this.isKnown) {
      const expected = this.#perItemMs * units + this.#fixedMs;
      this.#remember(expected > 0 ? ms / expected : 1);
    }
    this.#batches += 1;
    this.#largest = Math.max(this.#largest, units);
    this.#fastestMs = Math.min(this.#fastestMs, ms);
    this.#learn(units, ms);
    this.#solve();
  }

  #remember(ratio: number): void {
    const at = this.#recorded % REMEMBERED;
    const forgotten = this.#ratios[at]!;
    this.#ratios[at] = ratio;
    this.#recorded += 1;
    // Most are none of the largest two, neither the new one nor the one it takes the place of.
    if (ratio > this.#second || forgotten >= this.#second || this.#recorded === REMEMBERED)
      this.#findLargest();
  }

  #learn(units: number, ms: number): void {
    this.#weight = this.#weight * FORGET + 1;
    this.#units = this.#units * FORGET + units;
    this.#unitsSquared = this.#unitsSquared * FORGET + units * units;
    this.#time = this.#time * FORGET + ms;
    this.#timeUnits = this.#timeUnits * FORGET + ms * units;
  }

  #solve(): void {
    const spread = this.#weight * this.#unitsSquared - this.#units * this.#units;
    const isLine = spread > 1e-6 * this.#unitsSquared;
    if (isLine) this.#perItemMs = (this.#weight * this.#timeUnits - this.#units * this.#time) / spread;
    // Batches of one size only say nothing about the slope: it stays, or is that of a line through zero.
    else if (this.#perItemMs === 0) this.#perItemMs = this.#time / this.#units;
    this.#perItemMs = Math.max(0, this.#perItemMs);
    this.#fixedMs = (this.#time - this.#perItemMs * this.#units) / this.#weight;
    if (this.#fixedMs >= 0) return;
    this.#fixedMs = 0;
    this.#perItemMs = this.#timeUnits / this.#unitsSquared;
  }

  /** The margin is the second largest of 100; the largest of fewer. */
  #findLargest(): void {
    const count = Math.min(this.#recorded, REMEMBERED);
    let first = 1;
    let second = 1;
    for (let at = 0; at < count; at += 1) {
      const ratio = this.#ratios[at]!;
      if (ratio > first) {
        second = first;
        first = ratio;
      } else if (ratio > second) second = ratio;
    }
    this.#second = second;
    this.#margin = count === REMEMBERED ? second : first;
  }
}
