// Small numbers for what comes and goes: each is given back, and used again.

export class Slots {
  readonly #free: number[] = [];
  #made = 0;

  take(): number {
    const free = this.#free.pop();
    if (free !== undefined) return free;
    this.#made += 1;
    return this.#made - 1;
  }

  giveBack(slot: number): void {
    this.#free.push(slot);
  }
}
