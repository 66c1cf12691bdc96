// Gradient2 of Netflix's concurrency-limits: latency that grows against its long-term average lowers the limit.
import { optionsOf } from "@holdfast/core";
import type { AdaptiveLimit, LimitAlgorithm, LimitBounds, LimitSample } from "./algorithm.ts";
import { bounded } from "./algorithm.ts";

export interface Gradient2Options {
  /** How much slower than usual calls may be before the limit shrinks. From 1 to 10. @defaultValue 1.5 */
  readonly tolerance?: number;
  /** Share of each new limit in the next one. Above 0, up to 1. @defaultValue 0.2 */
  readonly smoothing?: number;
  /** Calls allowed to queue at the callee: what the limit grows by. From 1. @defaultValue 4 */
  readonly queue?: number;
  /** Calls over which the usual latency is averaged. From 10. @defaultValue 600 */
  readonly window?: number;
}

/** The published constants. */
export const GRADIENT2_DEFAULTS: {
  readonly tolerance: number;
  readonly smoothing: number;
  readonly queue: number;
  readonly window: number;
} = { tolerance: 1.5, smoothing: 0.2, queue: 4, window: 600 };

/** The limit is never more than halved at once. */
const LEAST_GRADIENT = 0.5;
/** Calls before the average means anything. */
const WARM_UP = 10;
/** How far the average may be above the latency before it is led back: it was learnt in worse times. */
const FAR_ABOVE = 2;
const LED_BACK = 0.95;
const DROPPED = 0.9;
/** How much more slowly the average learns from calls that are slower than the tolerance. */
const SLOWLY = 1_000;

/**
 * Gradient2: `limit × clamp(tolerance × usual ÷ latest, 0.5, 1) + queue`, smoothed. Grows only while at least half of
 * the limit is used.
 *
 * One thing is ours: from calls slower than the tolerance the usual latency is learnt a thousand times more slowly. In
 * the original it follows a long incident until the incident is usual, and the limit grows into it.
 *
 * @throws InvalidOptionError when an option is out of range.
 */
export function gradient2(options: Gradient2Options = {}): LimitAlgorithm {
  const check = optionsOf("gradient2");
  const defaults = GRADIENT2_DEFAULTS;
  const settings = {
    tolerance: check.number("tolerance", options.tolerance, { min: 1, max: 10 }, defaults.tolerance),
    smoothing: check.number("smoothing", options.smoothing, { min: 0.001, max: 1 }, defaults.smoothing),
    queue: check.number("queue", options.queue, { min: 1, max: 1_000 }, defaults.queue),
    window: check.integer("window", options.window, { min: 10 }, defaults.window),
  };
  return { name: "gradient2", start: (bounds) => new Gradient2(bounds, settings) };
}

class Gradient2 implements AdaptiveLimit {
  #limit: number;
  /** The usual latency, in milliseconds. */
  #usualMs = 0;
  #samples = 0;

  constructor(
    private readonly bounds: LimitBounds,
    private readonly settings: Required<Gradient2Options>,
  ) {
    this.#limit = bounds.initial;
  }

  update({ rttMs, inFlight, dropped }: LimitSample): number {
    // How long a call took that was turned away says nothing about those that are not.
    if (dropped) this.#limit = bounded(this.#limit * DROPPED, this.bounds);
    else this.#learn(Math.max(rttMs, 0.001), inFlight);
    return this.#limit;
  }

  state(): Readonly<Record<string, number>> {
    return { usualMs: this.#usualMs };
  }

  #learn(rttMs: number, inFlight: number): void {
    const { tolerance, smoothing, queue } = this.settings;
    this.#average(rttMs);
    if (this.#usualMs > FAR_ABOVE * rttMs) this.#usualMs *= LED_BACK;
    if (inFlight < this.#limit / 2) return;
    const gradient = Math.max(LEAST_GRADIENT, Math.min(1, (tolerance * this.#usualMs) / rttMs));
    const next = this.#limit * gradient + queue;
    this.#limit = bounded(this.#limit * (1 - smoothing) + next * smoothing, this.bounds);
  }

  #average(rttMs: number): void {
    const { window, tolerance } = this.settings;
    this.#samples += 1;
    if (this.#samples <= WARM_UP) {
      this.#usualMs += (rttMs - this.#usualMs) / this.#samples;
      return;
    }
    const factor = 2 / (window + 1);
    if (rttMs <= tolerance * this.#usualMs) this.#usualMs += factor * (rttMs - this.#usualMs);
    else this.#usualMs += (factor / SLOWLY) * (rttMs - this.#usualMs);
  }
}
