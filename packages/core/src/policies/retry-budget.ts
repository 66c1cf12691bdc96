// Retry budget: bounds what repeats may add to the load, however many retries and hedges share a dependency.
import { optionsOf } from "../options.ts";
import type { Clock } from "../time/clock.ts";
import type { Duration } from "../time/duration.ts";
import { systemClock } from "../time/system-clock.ts";

export interface RetryBudgetOptions {
  /** Appears in snapshots. @defaultValue "retry-budget" */
  readonly name?: string;
  /** Extra runs allowed per call within the window: 0.2 is 20 %. From 0 to 1. @defaultValue 0.2 */
  readonly ratio?: number;
  /** Extra runs per second allowed besides, so that a quiet client may repeat at all. @defaultValue 10 */
  readonly minPerSecond?: number;
  /** How far back calls and extra runs count. From 1 s to 1 h. @defaultValue "10s" */
  readonly window?: Duration;
  /** Extra runs allowed at one moment, per call in flight. From 0 to 1. @defaultValue 0.2 */
  readonly inFlightRatio?: number;
  /** Extra runs allowed at one moment however few calls are in flight. @defaultValue 3 */
  readonly minInFlight?: number;
  /** @defaultValue systemClock */
  readonly clock?: Clock;
}

/**
 * Shared by the `retry` and `hedge` policies in front of one dependency. An extra run is any run of a task but
 * the call's first. A call counts once, in the outermost policy that shares the budget.
 */
export interface RetryBudget {
  readonly name: string;
  /** A call begins. Each is ended with one {@link callEnded}. */
  callBegan(): void;
  callEnded(): void;
  /** Takes an extra run if both limits allow it; each one taken is ended with one {@link extraEnded}. */
  tryExtra(): boolean;
  extraEnded(): void;
  snapshot(): RetryBudgetSnapshot;
}

/** A budget's present state; plain JSON. */
export interface RetryBudgetSnapshot {
  readonly kind: "retry-budget";
  readonly name: string;
  /** Calls begun within the window. */
  readonly calls: number;
  /** Extra runs taken within the window. */
  readonly extras: number;
  readonly callsInFlight: number;
  readonly extrasInFlight: number;
  /** Whole extra runs that both limits would allow now. */
  readonly available: number;
  /** Extra runs refused since the budget was made. */
  readonly refused: number;
}

/**
 * The budgets' defaults. 20 %, 10 per second and 10 s are those of Finagle's `RetryBudget`; 20 % of the calls in
 * flight, but at least 3, those of Envoy's `retry_budget`.
 */
export const RETRY_BUDGET_DEFAULTS: {
  readonly ratio: number;
  readonly minPerSecond: number;
  readonly windowMs: number;
  readonly inFlightRatio: number;
  readonly minInFlight: number;
} = { ratio: 0.2, minPerSecond: 10, windowMs: 10_000, inFlightRatio: 0.2, minInFlight: 3 };

/**
 * A budget of extra runs. Without one, retries multiply the load of a dependency exactly when it fails; with one,
 * all its callers together add at most `ratio` to it. Two limits hold at once: over a sliding window, as Finagle
 * counts (tokens deposited by calls, withdrawn by repeats, gone after the window), and in flight, as Envoy counts
 * (which bounds repeats that hang). A wait before a retry counts as in flight.
 *
 * @throws InvalidOptionError when an option is out of range.
 *
 * @example
 * ```ts
 * import { retry, retryBudget } from "@holdfast/core";
 *
 * const budget = retryBudget({ ratio: 0.1 });
 * const reads = retry({ attempts: 4, budget });
 * const writes = retry({ attempts: 2, budget });
 * budget.snapshot().extras; // => 0
 * ```
 */
export function retryBudget(options: RetryBudgetOptions = {}): RetryBudget {
  const check = optionsOf("retryBudget");
  const defaults = RETRY_BUDGET_DEFAULTS;
  const share = { min: 0, max: 1 };
  return new WindowedBudget(
    check.string("name", options.name, 255, "retry-budget"),
    check.number("ratio", options.ratio, share, defaults.ratio),
    check.number("minPerSecond", options.minPerSecond, { min: 0, max: 1_000_000 }, defaults.minPerSecond),
    check.duration("window", options.window, { min: 1_000, max: 3_600_000 }, defaults.windowMs),
    check.number("inFlightRatio", options.inFlightRatio, share, defaults.inFlightRatio),
    check.integer("minInFlight", options.minInFlight, { min: 0 }, defaults.minInFlight),
    options.clock ?? systemClock,
  );
}

/** Slices a window is counted in: what has just left it may count for a tenth of the window longer. */
const SLICES = 10;

class WindowedBudget implements RetryBudget {
  readonly #sliceMs: number;
  readonly #reserve: number;
  readonly #callsBySlice: number[] = Array.from({ length: SLICES }, () => 0);
  readonly #extrasBySlice: number[] = Array.from({ length: SLICES }, () => 0);
  /** Number of the slice that is being filled, counted from the clock's start. */
  #slice: number;
  #calls = 0;
  #extras = 0;
  #callsInFlight = 0;
  #extrasInFlight = 0;
  #refused = 0;

  constructor(
    readonly name: string,
    private readonly ratio: number,
    minPerSecond: number,
    windowMs: number,
    private readonly inFlightRatio: number,
    private readonly minInFlight: number,
    private readonly clock: Clock,
  ) {
    this.#sliceMs = windowMs / SLICES;
    this.#reserve = (minPerSecond * windowMs) / 1_000;
    this.#slice = Math.floor(clock.monotonic() / this.#sliceMs);
  }

  callBegan(): void {
    this.#forgetOld();
    this.#callsBySlice[this.#slice % SLICES]! += 1;
    this.#calls += 1;
    this.#callsInFlight += 1;
  }

  callEnded(): void {
    this.#callsInFlight -= 1;
  }

  tryExtra(): boolean {
    this.#forgetOld();
    if (this.#available() < 1) {
      this.#refused += 1;
      return false;
    }
    this.#extrasBySlice[this.#slice % SLICES]! += 1;
    this.#extras += 1;
    this.#extrasInFlight += 1;
    return true;
  }

  extraEnded(): void {
    this.#extrasInFlight -= 1;
  }

  snapshot(): RetryBudgetSnapshot {
    this.#forgetOld();
    return {
      kind: "retry-budget",
      name: this.name,
      calls: this.#calls,
      extras: this.#extras,
      callsInFlight: this.#callsInFlight,
      extrasInFlight: this.#extrasInFlight,
      available: Math.max(0, Math.floor(this.#available())),
      refused: this.#refused,
    };
  }

  #available(): number {
    const inWindow = this.#reserve + this.ratio * this.#calls - this.#extras;
    const inFlight = Math.max(this.minInFlight, this.inFlightRatio * this.#callsInFlight);
    // Shares such as 0.2 × 5 may come out a hair below the whole number that was meant.
    return Math.min(inWindow, inFlight - this.#extrasInFlight) + 1e-9;
  }

  #forgetOld(): void {
    const slice = Math.floor(this.clock.monotonic() / this.#sliceMs);
    const passed = Math.min(slice - this.#slice, SLICES);
    for (let step = 1; step <= passed; step += 1) {
      const index = (this.#slice + step) % SLICES;
      this.#calls -= this.#callsBySlice[index]!;
      this.#extras -= this.#extrasBySlice[index]!;
      this.#callsBySlice[index] = 0;
      this.#extrasBySlice[index] = 0;
    }
    if (slice > this.#slice) this.#slice = slice;
  }
}
