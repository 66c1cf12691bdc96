// Those who wait for a device to come up, or for the end of the pool.
import type { Clock } from "@holdfast/core";
import { MAX_DURATION_MS } from "@holdfast/core";

export class UpWaiters {
  readonly #waiting = new Set<() => void>();

  constructor(private readonly clock: Clock) {}

  /** Resolves when they are told. Keeps the process meanwhile. Rejects with the signal's reason. */
  wait(signal: AbortSignal | undefined): Promise<void> {
    return new Promise<void>((resolve, reject) => {
      const hold = this.clock.setTimer(MAX_DURATION_MS, () => {}, { keepAlive: true });
      const leave = (): void => {
        hold.cancel();
        this.#waiting.delete(onTold);
        signal?.removeEventListener("abort", onAbort);
      };
      const onTold = (): void => {
        leave();
        resolve();
      };
      const onAbort = (): void => {
        leave();
        reject(signal?.reason as Error);
      };
      this.#waiting.add(onTold);
      signal?.addEventListener("abort", onAbort, { once: true });
    });
  }

  tell(): void {
    for (const onTold of this.#waiting) onTold();
  }
}
