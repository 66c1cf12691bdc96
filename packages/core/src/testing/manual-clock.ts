// A clock that stands still until a test moves it.
import { IndexedHeap } from "../collections/indexed-heap.ts";
import type { Clock, Timer, TimerOptions } from "../time/clock.ts";
import { sleepOn } from "../time/clock.ts";
import type { Duration } from "../time/duration.ts";
import { toMs } from "../time/duration.ts";

/** A {@link Clock} under a test's control. */
export interface ManualClock extends Clock {
  /**
   * Moves both times on by `duration`, running every timer that comes due at its own moment, in order, with the
   * promises it settles in between. An error that a timer's callback throws is thrown here, once all timers
   * have run; several of them as an `AggregateError`.
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

interface SetTimer {
  readonly due: number;
  /** Order of setting, which decides between timers due at the same moment. */
  readonly order: number;
  readonly callback: () => void;
  place: number;
}

class StandingClock implements ManualClock {
  #elapsed = 0;
  #wallOffset: number;
  #order = 0;
  readonly #timers = new IndexedHeap<SetTimer>(firesBefore, {
    of: ({ place }) => place,
    set: (timer, at) => void (timer.place = at),
  });

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
    const timer = { due: this.#elapsed + toMs(duration), order: this.#order, callback, place: -1 };
    this.#timers.put(timer);
    return { cancel: () => void this.#timers.remove(timer) };
  }

  advance(duration: Duration): Promise<void> {
    return this.#advanceTo(this.#elapsed + toMs(duration));
  }

  async advanceToNextTimer(): Promise<boolean> {
    await settlePromises();
    const next = this.#timers.first;
    if (next === undefined) return false;
    await this.#advanceTo(next.due);
    return true;
  }

  advanceSync(duration: Duration): void {
    const until = this.#elapsed + toMs(duration);
    const errors: unknown[] = [];
    while (this.#fireNext(until, errors));
    this.#finish(until, errors);
  }

  jumpWallClock(ms: number): void {
    this.#wallOffset += ms;
  }

  get pendingTimers(): number {
    return this.#timers.size;
  }

  async #advanceTo(until: number): Promise<void> {
    const errors: unknown[] = [];
    await settlePromises();
    while (this.#fireNext(until, errors)) await settlePromises();
    this.#finish(until, errors);
    await settlePromises();
  }

  #fireNext(until: number, errors: unknown[]): boolean {
    const next = this.#timers.first;
    if (next === undefined || next.due > until) return false;
    this.#timers.remove(next);
    this.#elapsed = Math.max(this.#elapsed, next.due);
    try {
      next.callback();
    } catch (error) {
      errors.push(error);
    }
    return true;
  }

  #finish(until: number, errors: readonly unknown[]): void {
    // Another advance may have gone further in the meantime: this time never runs backwards.
    this.#elapsed = Math.max(this.#elapsed, until);
    if (errors.length === 1) throw errors[0];
    if (errors.length > 1) throw new AggregateError(errors, `${errors.length} timer callbacks threw`);
  }
}

function firesBefore(a: SetTimer, b: SetTimer): boolean {
  return a.due === b.due ? a.order < b.order : a.due < b.due;
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
