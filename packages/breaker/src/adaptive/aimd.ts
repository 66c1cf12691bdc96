// Additive increase, multiplicative decrease (Chiu & Jain, 1989), as TCP does it.
import { optionsOf } from "@holdfast/core";
import type { AdaptiveLimit, LimitAlgorithm, LimitBounds, LimitSample } from "./algorithm.ts";
import { bounded } from "./algorithm.ts";

export interface AimdOptions {
  /** What the limit is multiplied by when a call is dropped. From 0.1 to below 1. @defaultValue 0.9 */
  readonly backoff?: number;
  /** Calls that take longer count as dropped, in milliseconds. @defaultValue none does */
  readonly maxRttMs?: number;
}

/**
 * Grows by one for calls that go well while at least half of the limit is used, shrinks by a tenth for each that is
 * dropped. Needs callees that say when they have too much; latency alone tells it nothing.
 *
 * @throws InvalidOptionError when an option is out of range.
 */
export function aimd(options: AimdOptions = {}): LimitAlgorithm {
  const check = optionsOf("aimd");
  const backoff = check.number("backoff", options.backoff, { min: 0.1, max: 0.999 }, 0.9);
  const maxRttMs =
    options.maxRttMs === undefined ? Infinity : check.number("maxRttMs", options.maxRttMs, { min: 1 });
  return { name: "aimd", start: (bounds) => new Aimd(bounds, backoff, maxRttMs) };
}

class Aimd implements AdaptiveLimit {
  #limit: number;

  constructor(
    private readonly bounds: LimitBounds,
    private readonly backoff: number,
    private readonly maxRttMs: number,
  ) {
    this.#limit = bounds.initial;
  }

  update({ rttMs, inFlight, dropped }: LimitSample): number {
    if (dropped || rttMs > this.maxRttMs) this.#limit *= this.backoff;
    else if (inFlight * 2 >= this.#limit) this.#limit += 1;
    this.#limit = bounded(this.#limit, this.bounds);
    return this.#limit;
  }

  state(): Readonly<Record<string, number>> {
    return {};
  }
}
