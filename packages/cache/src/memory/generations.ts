// What has been invalidated, by when: one counter for each tag, so that invalidating costs the same however much it is.

/** Tags whose counters are kept; of others it is only known that none is newer than the newest that was dropped. */
const MAX_TAGS = 10_000;

/**
 * Numbers of invalidations, in order. A value is told by the number that was the latest when its load began: it is good
 * as long as none of its tags has a later one.
 */
export class Generations {
  #latest = 0;
  readonly #byTag = new Map<string, number>();
  /** What has no counter any more was invalidated no later than this. */
  #floor = 0;

  /** The number of the latest invalidation of any tag. */
  get latest(): number {
    return this.#latest;
  }

  /** A number of its own, for what concerns no single tag. */
  advance(): number {
    return (this.#latest += 1);
  }

  invalidate(tag: string): void {
    this.#latest += 1;
    // The oldest first, since it was set anew.
    this.#byTag.delete(tag);
    this.#byTag.set(tag, this.#latest);
    if (this.#byTag.size <= MAX_TAGS) return;
    const [oldest, number] = this.#byTag.entries().next().value!;
    this.#byTag.delete(oldest);
    this.#floor = Math.max(this.#floor, number);
  }

  /** Whether what was loaded when `since` was the latest is still good. */
  isGood(tags: readonly string[], since: number): boolean {
    if (since === this.#latest) return true;
    return tags.every((tag) => (this.#byTag.get(tag) ?? this.#floor) <= since);
  }
}
