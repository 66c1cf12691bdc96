// How much memory a worker finds free: measured one at a time, and only what was measured while nothing was moved counts.

export class FreeMemory {
  #isMeasuring = false;
  #moves = 0;

  constructor(
    private readonly freeMemory: (() => number | undefined | Promise<number | undefined>) | undefined,
    private readonly tell: (freeBytes: number) => void,
  ) {}

  /** A load or an unload has ended: what is being measured may be of before or after. */
  moved(): void {
    this.#moves += 1;
  }

  /** Tells what is free, in a while; nothing where that cannot be said now. */
  measure(): void {
    if (this.freeMemory === undefined || this.#isMeasuring) return;
    this.#isMeasuring = true;
    void this.#measure(this.freeMemory).finally(() => (this.#isMeasuring = false));
  }

  async #measure(freeMemory: () => number | undefined | Promise<number | undefined>): Promise<void> {
    for (;;) {
      const before = this.#moves;
      let freeBytes: number | undefined;
      try {
        freeBytes = await freeMemory();
      } catch {
        // It is asked again at the next sign of life.
        return;
      }
      if (this.#moves !== before) continue;
      if (typeof freeBytes === "number") this.tell(freeBytes);
      return;
    }
  }
}
