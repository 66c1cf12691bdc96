// Keys that were noted lately; a bounded number of them.
import type { Clock } from "@holdfast/core";

/** Most keys; the oldest are forgotten first. */
const MAX_KEYS = 10_000;

export class RecentKeys {
  /** Until when, in monotonic time; in the order in which they were noted. */
  readonly #until = new Map<string, number>();

  constructor(
    private readonly clock: Clock,
    private readonly keptMs: number,
  ) {}

  add(key: string): void {
    this.#until.delete(key);
    this.#until.set(key, this.clock.monotonic() + this.keptMs);
    if (this.#until.size > MAX_KEYS) this.#until.delete(this.#until.keys().next().value!);
  }

  has(key: string): boolean {
    const until = this.#until.get(key);
    if (until === undefined) return false;
    if (this.clock.monotonic() < until) return true;
    this.#until.delete(key);
    return false;
  }

  delete(key: string): void {
    this.#until.delete(key);
  }
}
