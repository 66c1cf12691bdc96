// Trips by rates over the latest so many seconds.
import type { Duration } from "@holdfast/core";
import { formatDuration, optionsOf } from "@holdfast/core";
import type { RateOptions, Rates } from "./rates.ts";
import { exceeds, ratesOf, rateText } from "./rates.ts";
import type { TripCounter, TripRule, WindowCounts } from "./rule.ts";

export interface TimeWindowOptions extends RateOptions {
  /** How long a call counts. From 10 ms. @defaultValue "10s" */
  readonly window?: Duration;
  /** In how many steps calls leave the window. 2 to 1,000. @defaultValue 10 */
  readonly buckets?: number;
}

/**
 * Trips by the share of failed or slow calls within the latest `window`. Buckets advance by elapsed time, also over
 * idle hours: what is older than the window never counts.
 *
 * @throws InvalidOptionError when an option is out of range.
 */
export function timeWindow(options: TimeWindowOptions = {}): TripRule {
  const check = optionsOf("timeWindow");
  const windowMs = check.duration("window", options.window, { min: 10 }, 10_000);
  const buckets = check.integer("buckets", options.buckets, { min: 2, max: 1_000 }, 10);
  const rates = ratesOf(check, options, Number.MAX_SAFE_INTEGER);
  return {
    kind: "time-window",
    summary: `${rateText(rates)} within ${formatDuration(windowMs)}`,
    countsSlow: rates.slowRate !== Infinity,
    counter: () => new TimeCounter(windowMs / buckets, buckets, rates),
  };
}

class TimeCounter implements TripCounter {
  readonly needsTime = true;
  readonly #calls: Float64Array;
  readonly #failures: Float64Array;
  readonly #slow: Float64Array;
  /** Number of the present bucket since time began. */
  #current = 0;
  #slot = 0;
  /** When the present bucket ends: most calls need no division. */
  #endsAt = -Infinity;
  #allCalls = 0;
  #allFailures = 0;
  #allSlow = 0;

  constructor(
    private readonly bucketMs: number,
    private readonly buckets: number,
    private readonly rates: Rates,
  ) {
    this.#calls = new Float64Array(buckets);
    this.#failures = new Float64Array(buckets);
    this.#slow = new Float64Array(buckets);
  }

  record(failed: boolean, slow: boolean, now: number): boolean {
    if (now >= this.#endsAt) this.#advance(now);
    const slot = this.#slot;
    this.#calls[slot]! += 1;
    this.#allCalls += 1;
    if (failed) {
      this.#failures[slot]! += 1;
      this.#allFailures += 1;
    }
    if (slow) {
      this.#slow[slot]! += 1;
      this.#allSlow += 1;
    }
    return exceeds(this.rates, this.#allCalls, this.#allFailures, this.#allSlow);
  }

  reset(): void {
    this.#calls.fill(0);
    this.#failures.fill(0);
    this.#slow.fill(0);
    this.#allCalls = this.#allFailures = this.#allSlow = 0;
  }

  counts(now: number): WindowCounts {
    if (now >= this.#endsAt) this.#advance(now);
    return { calls: this.#allCalls, failures: this.#allFailures, slow: this.#allSlow };
  }

  /** Drops what has left the window: one bucket for each step of time, all of them after an idle hour. */
  #advance(now: number): void {
    const bucket = Math.floor(now / this.bucketMs);
    const steps = Math.min(bucket - this.#current, this.buckets);
    for (let step = 0; step < steps; step += 1) {
      this.#slot = this.#slot + 1 === this.buckets ? 0 : this.#slot + 1;
      this.#allCalls -= this.#calls[this.#slot]!;
      this.#allFailures -= this.#failures[this.#slot]!;
      this.#allSlow -= this.#slow[this.#slot]!;
      this.#calls[this.#slot] = this.#failures[this.#slot] = this.#slow[this.#slot] = 0;
    }
    this.#current = bucket;
    this.#endsAt = (bucket + 1) * this.bucketMs;
  }
}
