// A clock that stands still until a test moves it.
import type { Clock, Timer, TimerOptions } from "../time/clock.ts";
import { sleepOn } from "../time/clock.ts";
import type { Duration } from "../time/duration.ts";
import { toMs } from "../time/duration.ts";

/** A {@link Clock} under a test's control. */
export interface ManualClock extends Clock {
  /**
   * Moves both times on by `duration`, running every timer that comes due at its own moment, in order, with the
   * promises it settles in between.
   */
  advance(duration: Duration): Promise<void>;
  /** Moves to the next timer, if there is one, and runs what is due. Answers whether there was one. */
  advanceToNextTimer(): Promise<boolean>;
  /** Like {@link advance}, but runs due timers back to back, without letting promises settle in between. */
  advanceSync(duration: Duration): void;
  /** Moves wall time alone, forwards or backwards, as NTP or an operator would. Timers do not notice. */
  jumpWallClock(ms: number): void;
  /** Timers that are set and have neither fired nor been cancelled. */
  readonly pendingTimers: number;
}

/**
 * A clock that stands still until it is told otherwise.
 *
 * @param startMs - Wall time to begin at, in milliseconds since the epoch.
 *
 * @example
 * ```ts
 * import { manualClock } from "@holdfast/core/testing";
 *
 * const clock = manualClock();
 * const slept = clock.sleep("1h").then(() => "woke up");
 * await clock.advance("1h");
 * await slept; // => "woke up"
 * ```
 */
export function manualClock(startMs: number = 1_700_000_000_000): ManualClock {
  return new StandingClock(startMs);
}

interface Pending {
  readonly due: number;
  /** Order of setting, which decides between timers due at the same moment. */
  readonly order: number;
  readonly callback: () => void;
}

class StandingClock implements ManualClock {
  #elapsed = 0;
  #wallOffset: number;
  #order = 0;
  /** Sorted by due time, then order. */
  readonly #pending: Pending[] = [];

  constructor(startMs: number) {
    this.#wallOffset = startMs;
  }

  now(): number {
    return this.#wallOffset + this.#elapsed;
  }

  monotonic(): number {
    return this.#elapsed;
  }

  sleep(duration: Duration, signal?: AbortSignal, options?: TimerOptions): Promise<void> {
    return sleepOn(this, duration, signal, options);
  }

  setTimer(duration: Duration, callback: () => void): Timer {
    this.#order += 1;
    const timer = { due: this.#elapsed + toMs(duration), order: this.#order, callback };
    this.#pending.splice(this.#position(timer.due), 0, timer);
    return {
      cancel: () => {
        const index = this.#pending.indexOf(timer);
        if (index !== -1) this.#pending.splice(index, 1);
      },
    };
  }

  async advance(duration: Duration): Promise<void> {
    const until = this.#elapsed + toMs(duration);
    await settlePromises();
    while (this.#fireNext(until)) await settlePromises();
    this.#elapsed = until;
    await settlePromises();
  }

  async advanceToNextTimer(): Promise<boolean> {
    await settlePromises();
    const next = this.#pending[0];
    if (next === undefined) return false;
    await this.advance(next.due - this.#elapsed);
    return true;
  }

  advanceSync(duration: Duration): void {
    const until = this.#elapsed + toMs(duration);
    while (this.#fireNext(until));
    this.#elapsed = until;
  }

  jumpWallClock(ms: number): void {
    this.#wallOffset += ms;
  }

  get pendingTimers(): number {
    return this.#pending.length;
  }

  #fireNext(until: number): boolean {
    const next = this.#pending[0];
    if (next === undefined || next.due > until) return false;
    this.#pending.shift();
    this.#elapsed = Math.max(this.#elapsed, next.due);
    next.callback();
    return true;
  }

  /** Behind every timer due at or before `due`. */
  #position(due: number): number {
    let low = 0;
    let high = this.#pending.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#pending[middle]!.due <= due) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

// One turn of the event loop: every promise that can settle without I/O or time has settled after it.
function settlePromises(): Promise<void> {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(undefined);
  });
}
