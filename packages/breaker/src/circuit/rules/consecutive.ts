// Trips after so many failures in a row.
import { optionsOf } from "@holdfast/core";
import type { TripCounter, TripRule, WindowCounts } from "./rule.ts";

export interface ConsecutiveOptions {
  /** Failures in a row. From 1. @defaultValue 5 */
  readonly failures?: number;
}

/**
 * Trips after so many failures in a row; one success starts the count anew. For calls that fail all together or not
 * at all.
 *
 * @throws InvalidOptionError when an option is out of range.
 */
export function consecutive(options: ConsecutiveOptions = {}): TripRule {
  const failures = optionsOf("consecutive").integer("failures", options.failures, { min: 1 }, 5);
  return {
    kind: "consecutive",
    summary: `${failures} calls in a row fail`,
    countsSlow: false,
    counter: () => new ConsecutiveCounter(failures),
  };
}

class ConsecutiveCounter implements TripCounter {
  readonly needsTime = false;
  #failures = 0;

  constructor(private readonly limit: number) {}

  record(failed: boolean): boolean {
    if (!failed) {
      this.#failures = 0;
      return false;
    }
    this.#failures += 1;
    return this.#failures >= this.limit;
  }

  reset(): void {
    this.#failures = 0;
  }

  counts(): WindowCounts {
    return { calls: this.#failures, failures: this.#failures, slow: 0 };
  }
}
