// Trips by rates over the latest so many calls.
import { optionsOf } from "@holdfast/core";
import type { RateOptions, Rates } from "./rates.ts";
import { exceeds, ratesOf, rateText } from "./rates.ts";
import type { TripCounter, TripRule, WindowCounts } from "./rule.ts";

export interface CountWindowOptions extends RateOptions {
  /** How many of the latest calls count. 1 to 1,000,000; a byte each. @defaultValue 100 */
  readonly size?: number;
}

/**
 * Trips by the share of failed or slow calls among the latest `size`. For steady traffic: with little of it, calls
 * of long ago still count.
 *
 * @throws InvalidOptionError when an option is out of range, or `minCalls` is more than `size`.
 */
export function countWindow(options: CountWindowOptions = {}): TripRule {
  const check = optionsOf("countWindow");
  const size = check.integer("size", options.size, { min: 1, max: 1_000_000 }, 100);
  const rates = ratesOf(check, options, size);
  return {
    kind: "count-window",
    summary: `${rateText(rates)}, of the latest ${size}`,
    countsSlow: rates.slowRate !== Infinity,
    counter: () => new CountCounter(size, rates),
  };
}

const FAILED = 1;
const SLOW = 2;

class CountCounter implements TripCounter {
  readonly needsTime = false;
  /** A ring: the outcome of each of the latest calls. */
  readonly #outcomes: Uint8Array;
  #next = 0;
  #calls = 0;
  #failures = 0;
  #slow = 0;

  constructor(
    size: number,
    private readonly rates: Rates,
  ) {
    this.#outcomes = new Uint8Array(size);
  }

  record(failed: boolean, slow: boolean): boolean {
    const outcomes = this.#outcomes;
    if (this.#calls === outcomes.length) {
      const oldest = outcomes[this.#next]!;
      if ((oldest & FAILED) !== 0) this.#failures -= 1;
      if ((oldest & SLOW) !== 0) this.#slow -= 1;
    } else {
      this.#calls += 1;
    }
    outcomes[this.#next] = (failed ? FAILED : 0) | (slow ? SLOW : 0);
    this.#next = this.#next + 1 === outcomes.length ? 0 : this.#next + 1;
    if (failed) this.#failures += 1;
    if (slow) this.#slow += 1;
    // A call that was well can only lower the rates, or be the one that makes them meaningful.
    return exceeds(this.rates, this.#calls, this.#failures, this.#slow);
  }

  reset(): void {
    this.#outcomes.fill(0);
    this.#next = this.#calls = this.#failures = this.#slow = 0;
  }

  counts(): WindowCounts {
    return { calls: this.#calls, failures: this.#failures, slow: this.#slow };
  }
}
