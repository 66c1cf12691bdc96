// How fast slots become free, from what has ended between refusals: calls that get one pay for no look at the clock.

/** Shorter spans are too few calls to say; in milliseconds. */
const SPAN_MS = 1_000;
/** Longer ones without a refusal were quiet, not slow; in milliseconds. */
const QUIET_MS = 10_000;

export class Pace {
  #ended = 0;
  #endedThen = 0;
  #then = -Infinity;
  #perCallMs: number | undefined;

  /** A call has ended. */
  ended(): void {
    this.#ended += 1;
  }

  /** In how many milliseconds `calls` more will have ended; `undefined` when too little is known. */
  timeFor(calls: number, nowMs: number): number | undefined {
    const spanMs = nowMs - this.#then;
    const ended = this.#ended - this.#endedThen;
    if (spanMs > QUIET_MS) {
      this.#restart(nowMs);
      this.#perCallMs = undefined;
    } else if (ended > 0 && spanMs > 0) {
      const perCallMs = spanMs / ended;
      if (spanMs < SPAN_MS) return Math.ceil(calls * (this.#perCallMs ?? perCallMs));
      this.#perCallMs = perCallMs;
      this.#restart(nowMs);
    }
    return this.#perCallMs === undefined ? undefined : Math.ceil(calls * this.#perCallMs);
  }

  #restart(nowMs: number): void {
    this.#then = nowMs;
    this.#endedThen = this.#ended;
  }
}
