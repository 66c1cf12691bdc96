// Asks a server at intervals what has changed, once for all who watch; asks nothing while nobody does.
import type { Clock, Timer } from "@holdfast/core";
import { asError } from "@holdfast/core";
import type { CircuitWatcher, FleetCircuit } from "../shared/store.ts";

/** Changes after a generation, oldest first. */
export interface FeedPage {
  readonly circuits: readonly FleetCircuit[];
  /** Of the last change in it. */
  readonly generation: number;
  /** Whether there may be more. */
  readonly isFull: boolean;
}

export class Feed {
  readonly #watches = new Set<CircuitWatcher>();
  #timer: Timer | undefined;
  #isAsking = false;
  /** Up to which generation all who watch have been told. */
  #told = 0;

  constructor(
    private readonly pageAfter: (generation: number) => Promise<FeedPage>,
    private readonly everyMs: number,
    private readonly clock: Clock,
  ) {}

  watch(watcher: CircuitWatcher): () => void {
    const watch: CircuitWatcher = {
      changed: (circuits) => watcher.changed(circuits),
      lost: (error) => watcher.lost(error),
    };
    this.#watches.add(watch);
    // It is told all that is known; who watches already has heard of it and does not mind.
    this.#told = 0;
    this.#askIn(0);
    return () => {
      this.#watches.delete(watch);
      if (this.#watches.size === 0) this.#timer?.cancel();
    };
  }

  close(): void {
    this.#watches.clear();
    this.#timer?.cancel();
  }

  #askIn(ms: number): void {
    this.#timer?.cancel();
    this.#timer = this.clock.setTimer(ms, () => void this.#ask());
  }

  async #ask(): Promise<void> {
    // One at a time: it goes on by itself.
    if (this.#isAsking) return;
    this.#isAsking = true;
    let isFull = false;
    const after = this.#told;
    try {
      const page = await this.pageAfter(after);
      isFull = page.isFull;
      // Unless somebody has come to watch meanwhile, who is to be told from the beginning.
      if (this.#told === after) this.#told = page.generation;
      for (const watch of this.#watches) watch.changed(page.circuits);
    } catch (error) {
      for (const watch of this.#watches) watch.lost(asError(error));
    }
    this.#isAsking = false;
    if (this.#watches.size > 0) this.#askIn(isFull || this.#told < after ? 0 : this.everyMs);
  }
}
