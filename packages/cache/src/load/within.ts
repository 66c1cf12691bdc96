// Waits for a promise that goes on without whoever waits.
import type { Clock } from "@holdfast/core";

interface Limits {
  readonly clock: Clock;
  readonly limitMs: number;
  /** What to reject with when time is up. */
  readonly late: () => Error;
  readonly signal: AbortSignal | undefined;
}

/** Settles with the promise, or when time is up, or when the signal aborts; leaves no timer and no listener. */
export function within<T>(promise: Promise<T>, { clock, limitMs, late, signal }: Limits): Promise<T> {
  return new Promise((resolve, reject) => {
    const leave = (): void => {
      timer.cancel();
      signal?.removeEventListener("abort", onAbort);
    };
    const onAbort = (): void => {
      leave();
      reject(signal?.reason as Error);
    };
    const timer = clock.setTimer(limitMs, () => {
      leave();
      reject(late());
    });
    signal?.addEventListener("abort", onAbort, { once: true });
    promise.then(
      (value) => {
        leave();
        resolve(value);
      },
      (error: unknown) => {
        leave();
        reject(error as Error);
      },
    );
  });
}
