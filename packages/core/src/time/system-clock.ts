// The real clock: one timer wheel for the whole process, driven by a single host timer.
import type { Clock, Timer, TimerOptions } from "./clock.ts";
import { sleepOn } from "./clock.ts";
import type { Duration } from "./duration.ts";
import { toMs } from "./duration.ts";
import type { WheelTimer } from "./timer-wheel.ts";
import { TimerWheel } from "./timer-wheel.ts";

/** The longest delay a host's `setTimeout` takes; a longer one would fire at once. */
const MAX_HOST_DELAY_MS = 2 ** 31 - 1;

/** A new, independent system clock with a wheel of its own. {@link systemClock} serves everyone else. */
export function createSystemClock(): Clock {
  return new SystemClock();
}

class SystemClock implements Clock {
  readonly #wheel = new TimerWheel(Math.floor(performance.now()));
  #host: ReturnType<typeof setTimeout> | undefined;
  /** Tick the host timer will wake us at. */
  #wakeAt = Infinity;
  #keepsAlive = false;

  now(): number {
    return Date.now();
  }

  monotonic(): number {
    return performance.now();
  }

  sleep(duration: Duration, signal?: AbortSignal, options?: TimerOptions): Promise<void> {
    return sleepOn(this, duration, signal, options);
  }

  setTimer(duration: Duration, callback: () => void, options?: TimerOptions): Timer {
    const due = Math.ceil(performance.now() + toMs(duration));
    const timer = this.#wheel.add(due, callback, options?.keepAlive === true);
    // A cancelled timer leaves the host timer set: waking once in vain is cheaper than resetting it every call.
    if (timer.due < this.#wakeAt) this.#wake(timer.due);
    if (!timer.keepAlive) return timer;
    this.#holdProcess();
    return { cancel: () => this.#cancelKeepAlive(timer) };
  }

  #cancelKeepAlive(timer: WheelTimer): void {
    timer.cancel();
    this.#holdProcess();
  }

  #wake(tick: number): void {
    clearTimeout(this.#host);
    this.#wakeAt = tick;
    const delay = Math.min(Math.max(tick - performance.now(), 1), MAX_HOST_DELAY_MS);
    this.#host = setTimeout(() => this.#onWake(), Math.ceil(delay));
    this.#keepsAlive = true;
    this.#holdProcess();
  }

  #onWake(): void {
    this.#wakeAt = Infinity;
    const due = this.#wheel.advance(Math.floor(performance.now()));
    const next = this.#wheel.nextTick();
    if (next !== Infinity) this.#wake(next);
    for (const timer of due) if (timer.take()) run(timer.callback);
  }

  /** Refs the host timer exactly while a timer that must keep the process alive is pending. */
  #holdProcess(): void {
    const wanted = this.#wheel.keepAliveCount > 0;
    // Browsers return a number: there is no process to keep alive.
    if (wanted === this.#keepsAlive || typeof this.#host !== "object") return;
    this.#keepsAlive = wanted;
    if (wanted) this.#host.ref();
    else this.#host.unref();
  }
}

function run(callback: () => void): void {
  try {
    callback();
  } catch (error) {
    // As an uncaught exception, but after the other timers of this tick have run.
    queueMicrotask(() => {
      throw error;
    });
  }
}

/**
 * The system's clock, and the default wherever a `clock` is taken. All its timers share one timer wheel: setting
 * and cancelling one costs about as much as reading the time, and the host sees at most one timer.
 */
export const systemClock: Clock = /* @__PURE__ */ createSystemClock();
