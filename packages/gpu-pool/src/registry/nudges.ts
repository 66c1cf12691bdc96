// Who wants to be told that something may have changed.

export class Nudges {
  readonly #all = new Set<{ readonly nudge: () => void }>();

  get size(): number {
    return this.#all.size;
  }

  /** Answers how to take it back. */
  add(nudge: () => void): () => void {
    const one = { nudge };
    this.#all.add(one);
    return () => void this.#all.delete(one);
  }

  tell(): void {
    for (const { nudge } of this.#all) nudge();
  }

  clear(): void {
    this.#all.clear();
  }
}
