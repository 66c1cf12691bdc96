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
/** Calls whose mean is usual to begin with: enough that a few from a warm cache do not set it. */
const SETTLED = 50;
/** How far the average may be above recent calls before it is led back: it was learnt in worse times. */
const FAR_ABOVE = 2;
const LED_BACK = 0.95;
/** Weight of each call in what is recent: some 20 calls, so that one lucky call does not lead the average back. */
const RECENT = 0.1;
const DROPPED = 0.9;
/** How much more slowly than the average the usual latency rises, where it may rise at all. */
const SLOWLY = 1_000;

/**
 * Gradient2: `limit × clamp(tolerance × usual ÷ latest, 0.5, 1) + queue`, smoothed. Grows only while at least half of
 * the limit is used.
 *
 * One thing is ours: usual is not the average latency itself but the lowest that the average has been. In the original
 * the average follows a long incident, or the queue that a growing limit makes at the callee, until that is usual, and
 * the limit grows into it. The usual latency rises only while the load is not what makes calls slow (less than half of
 * the limit is used, or it is as low as it gets), and a thousand times more slowly than the average. An average rather
 * than the fastest call, so that noise and a few calls from a cache leave it where it is.
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
  /** Where the limit comes to rest under calls that are far too slow, with some room. */
  readonly #lowest: number;
  /** The lowest that the average has been, in milliseconds. */
  #usualMs = 0;
  #averageMs = 0;
  #recentMs = 0;
  #samples = 0;
  /** Of each call in the average. */
  readonly #weight: number;

  constructor(
    private readonly bounds: LimitBounds,
    private readonly settings: Required<Gradient2Options>,
  ) {
    this.#limit = bounds.initial;
    this.#weight = 2 / (settings.window + 1);
    this.#lowest = Math.max(bounds.min, settings.queue / (1 - LEAST_GRADIENT)) * 1.1;
  }

  update({ rttMs, inFlight, dropped }: LimitSample): number {
    // How long a call took that was turned away says nothing about those that are not.
    if (dropped) this.#limit = bounded(this.#limit * DROPPED, this.bounds);
    else this.#learn(Math.max(rttMs, 0.001), inFlight);
    return this.#limit;
  }

  state(): Readonly<Record<string, number>> {
    return { usualMs: this.#usualMs, averageMs: this.#averageMs };
  }

  #learn(rttMs: number, inFlight: number): void {
    const { tolerance, smoothing, queue } = this.settings;
    this.#average(rttMs);
    this.#usual(inFlight);
    if (inFlight < this.#limit / 2) return;
    const gradient = Math.max(LEAST_GRADIENT, Math.min(1, (tolerance * this.#usualMs) / rttMs));
    const next = this.#limit * gradient + queue;
    this.#limit = bounded(this.#limit * (1 - smoothing) + next * smoothing, this.bounds);
  }

  #average(rttMs: number): void {
    this.#samples += 1;
    // The plain mean of the first calls, then the exponential one.
    const plain = 1 / this.#samples;
    this.#averageMs += Math.max(this.#weight, plain) * (rttMs - this.#averageMs);
    this.#recentMs += Math.max(RECENT, plain) * (rttMs - this.#recentMs);
    if (this.#averageMs > FAR_ABOVE * this.#recentMs) this.#averageMs *= LED_BACK;
  }

  #usual(inFlight: number): void {
    const isCauseElsewhere = inFlight < this.#limit / 2 || this.#limit <= this.#lowest;
    if (this.#samples <= SETTLED || this.#averageMs < this.#usualMs) this.#usualMs = this.#averageMs;
    else if (isCauseElsewhere) this.#usualMs += (this.#weight / SLOWLY) * (this.#averageMs - this.#usualMs);
  }
}
