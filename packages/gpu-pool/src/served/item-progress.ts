// Progress of one item, thinned out: a model may report every row, its caller wants a few a second.
import type { Clock, Timer } from "@holdfast/core";

/** Shortest time between two reports, in milliseconds. */
const EVERY_MS = 50;

export class ItemProgress {
  #pending: { readonly value: unknown } | undefined;
  #sentAt = -Infinity;
  #timer: Timer | undefined;

  constructor(
    private readonly clock: Clock,
    private readonly send: (value: unknown) => void,
  ) {}

  report(value: unknown): void {
    this.#pending = { value };
    const wait = this.#sentAt + EVERY_MS - this.clock.monotonic();
    if (wait <= 0) this.flush();
    else this.#timer ??= this.clock.setTimer(wait, () => this.flush());
  }

  /** Sends what is held back, so that nothing comes after an item has ended. */
  flush(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    if (this.#pending === undefined) return;
    const { value } = this.#pending;
    this.#pending = undefined;
    this.#sentAt = this.clock.monotonic();
    this.send(value);
  }
  /** Forgets what is held back. */
  drop(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#pending = undefined;
  }
}
