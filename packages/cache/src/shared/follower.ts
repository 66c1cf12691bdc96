// Follows what other processes change, and knows until when memory can be trusted.
import type { Clock, Timer } from "@holdfast/core";
import type { CacheChanges, CacheCursor, CacheRegion } from "./store.ts";

/** Questions in the time for which an answer is good: one that is lost or late does no harm. */
const QUESTIONS = 4;

/** What follows, and what is told. */
export interface FollowerOptions {
  readonly region: CacheRegion;
  readonly clock: Clock;
  /** How old the latest answer may be. 0: none is good, and none is asked for. */
  readonly coherenceMs: number;
  readonly apply: (changes: CacheChanges) => void;
  /** How many reads there have been: as long as there are none, nothing is asked. */
  readonly reads: () => number;
}

/**
 * Asks at intervals what has changed. An answer says all that had been changed when the question was sent: for the time
 * of `coherence` from then on, nothing that it does not name can have been changed for longer than that.
 */
export class Follower {
  #until = 0;
  #cursor: CacheCursor | undefined;
  #timer: Timer | undefined;
  #isAsking = false;
  /** Something was said to have changed since the question under way was sent. */
  #isToAskAgain = false;
  #readsAtLast = -1;
  #closed = false;
  readonly #unwatch: () => void;

  constructor(private readonly options: FollowerOptions) {
    const changed = (): void => {
      // Nobody reads: it is asked when somebody does.
      if (this.#timer !== undefined || this.#isAsking) void this.#ask();
    };
    const lost = (): void => {
      this.#until = 0;
    };
    this.#unwatch = options.coherenceMs > 0 ? options.region.watch({ changed, lost }) : () => {};
  }

  /** The time until which what is in memory can be trusted. */
  get until(): number {
    return this.#until;
  }

  /** Somebody reads. */
  wake(): void {
    if (this.options.coherenceMs > 0 && this.#timer === undefined && !this.#isAsking) void this.#ask();
  }

  close(): void {
    this.#closed = true;
    this.#until = 0;
    this.#timer?.cancel();
    this.#unwatch();
  }

  async #ask(): Promise<void> {
    if (this.#isAsking) {
      this.#isToAskAgain = true;
      return;
    }
    this.#isAsking = true;
    this.#timer?.cancel();
    this.#timer = undefined;
    const { region, clock, coherenceMs, apply, reads } = this.options;
    this.#readsAtLast = reads();
    try {
      do {
        this.#isToAskAgain = false;
        const sentAt = clock.monotonic();
        const changes = await region.changes(this.#cursor);
        if (this.#closed) return;
        apply(changes);
        this.#cursor = changes.cursor;
        this.#until = sentAt + coherenceMs;
      } while (this.#isToAskAgain);
    } catch {
      // It is asked again; until then the time runs out by itself.
    } finally {
      this.#isAsking = false;
    }
    if (!this.#closed) this.#timer = clock.setTimer(Math.max(1, coherenceMs / QUESTIONS), () => this.#next());
  }

  #next(): void {
    this.#timer = undefined;
    if (this.options.reads() !== this.#readsAtLast) void this.#ask();
  }
}
