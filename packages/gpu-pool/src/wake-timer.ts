// A timer for the next moment at which something is due, which is another one all the time.
import type { Clock, Timer } from "@holdfast/core";

export class WakeTimer {
  #set: { readonly at: number; readonly timer: Timer } | undefined;

  constructor(
    private readonly clock: Clock,
    private readonly wake: () => void,
  ) {}

  /** Wakes at this moment of the monotonic clock, and at no other; never at `Infinity`. */
  setFor(at: number): void {
    if (this.#set?.at === at) return;
    this.cancel();
    if (at === Infinity) return;
    const timer = this.clock.setTimer(Math.max(0, at - this.clock.monotonic()), () => {
      this.#set = undefined;
      this.wake();
    });
    this.#set = { at, timer };
  }

  cancel(): void {
    this.#set?.timer.cancel();
    this.#set = undefined;
  }
}
