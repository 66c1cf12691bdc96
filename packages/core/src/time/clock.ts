// The clock that everything takes, so that tests, simulators and production run the same code.
import type { Duration } from "./duration.ts";

/** A timer that was set and can be taken back. */
export interface Timer {
  /** Takes the timer back. Calling it again, or after it fired, does nothing. */
  cancel(): void;
}

/** How a timer behaves towards the process. */
export interface TimerOptions {
  /**
   * Keeps the process running until the timer fires or is cancelled. @defaultValue false: a timer alone never
   * keeps a process alive.
   */
  readonly keepAlive?: boolean;
}

/**
 * Where time comes from. Inject one wherever Holdfast takes `clock`; `manualClock()` of
 * `@holdfast/core/testing` lets a test move time by hand.
 */
export interface Clock {
  /** Wall time in milliseconds since the epoch. May jump; for display and for records only. */
  now(): number;
  /** Milliseconds that only ever grow, from an arbitrary start. For every duration inside a process. */
  monotonic(): number;
  /**
   * Resolves after `duration`; rejects with `signal.reason` at once when `signal` aborts, leaving no timer and
   * no listener behind.
   */
  sleep(duration: Duration, signal?: AbortSignal, options?: TimerOptions): Promise<void>;
  /**
   * Calls `callback` once, never before `duration` has passed on {@link monotonic}. Durations above 2³¹ ms
   * work. An error thrown by the callback surfaces as an uncaught exception and stops no other timer.
   */
  setTimer(duration: Duration, callback: () => void, options?: TimerOptions): Timer;
}

/** {@link Clock.sleep} for any clock that can set timers. */
export function sleepOn(
  clock: Pick<Clock, "setTimer">,
  duration: Duration,
  signal?: AbortSignal,
  options?: TimerOptions,
): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted === true) {
      reject(signal.reason as Error);
      return;
    }
    const onAbort = (): void => {
      timer.cancel();
      reject(signal?.reason as Error);
    };
    const timer = clock.setTimer(
      duration,
      () => {
        signal?.removeEventListener("abort", onAbort);
        resolve();
      },
      options,
    );
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}
