// Invalidations that the store has not acknowledged: made good before anything is read from it again.
import type { Clock, Timer } from "@holdfast/core";
import type { CacheRegion } from "./store.ts";

/** More than so many become one: all is cleared. */
const MOST = 1_000;
/** How long after a failure it is tried again, if nothing is read before. */
const PAUSE_MS = 1_000;

export class Owed {
  readonly #ids = new Set<string>();
  readonly #tags = new Set<string>();
  #isAll = false;
  #paying: Promise<void> | undefined;
  #timer: Timer | undefined;
  #isClosed = false;

  constructor(
    private readonly region: CacheRegion,
    private readonly clock: Clock,
  ) {}

  /** Whether the store may be read: nothing is owed, and nothing is being made good. */
  get isEmpty(): boolean {
    return this.size === 0 && this.#paying === undefined;
  }

  get size(): number {
    return this.#ids.size + this.#tags.size + (this.#isAll ? 1 : 0);
  }

  addKey(id: string): void {
    this.#add(this.#ids, id);
  }

  addTag(tag: string): void {
    this.#add(this.#tags, tag);
  }

  addAll(): void {
    this.#isAll = true;
    this.#ids.clear();
    this.#tags.clear();
    this.#payLater();
  }

  /** Rejects with what the store fails with; what was not acknowledged stays owed. */
  pay(): Promise<void> {
    this.#paying ??= this.#payAll().finally(() => {
      this.#paying = undefined;
    });
    return this.#paying;
  }

  /** Tries once more. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#timer?.cancel();
    if (!this.isEmpty) await this.pay().catch(() => {});
  }

  #add(set: Set<string>, name: string): void {
    if (this.#isAll) return;
    set.add(name);
    if (this.size > MOST) this.addAll();
    this.#payLater();
  }

  #payLater(): void {
    if (this.#isClosed) return;
    this.#timer ??= this.clock.setTimer(PAUSE_MS, () => {
      this.#timer = undefined;
      this.pay().catch(() => this.#payLater());
    });
  }

  async #payAll(): Promise<void> {
    if (this.#isAll) {
      // What comes meanwhile is owed anew.
      this.#isAll = false;
      await this.region.clear().catch((error: unknown) => {
        this.addAll();
        throw error;
      });
    }
    await paid(this.#tags, (tag) => this.region.invalidateTag(tag));
    await paid(this.#ids, (id) => this.region.invalidate(id));
  }
}

async function paid(names: Set<string>, work: (name: string) => Promise<void>): Promise<void> {
  const all = [...names];
  names.clear();
  const results = await Promise.allSettled(all.map(work));
  results.forEach(({ status }, index) => {
    if (status === "rejected") names.add(all[index]!);
  });
  const failure = results.find((result) => result.status === "rejected");
  if (failure !== undefined) throw failure.reason;
}
