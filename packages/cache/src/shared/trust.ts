// What of memory may be given to somebody without asking the store.
import type { Clock } from "@holdfast/core";
import type { Entry } from "../memory/entry.ts";
import type { Generations } from "../memory/generations.ts";
import { Follower } from "./follower.ts";
import type { Ongoing } from "./ongoing.ts";
import type { CacheChanges, CacheRegion } from "./store.ts";

export interface TrustOptions<Value> {
  readonly region: CacheRegion;
  readonly clock: Clock;
  readonly coherenceMs: number;
  readonly memory: {
    readonly generations: Generations;
    readonly peek: (id: string) => Entry<Value> | undefined;
    readonly isGood: (entry: Entry<Value>) => boolean;
  };
  readonly ongoing: Ongoing;
  readonly reads: () => number;
}

export class Trust<Value> {
  readonly #follower: Follower;
  /** What was verified before this generation has to be verified again. */
  #verifiedFrom = 0;

  constructor(private readonly options: TrustOptions<Value>) {
    const { region, clock, coherenceMs, reads } = options;
    this.#follower = new Follower({
      region,
      clock,
      coherenceMs,
      reads,
      apply: (changes) => this.#apply(changes),
    });
  }

  /** The time until which all that is known to have changed is known. */
  get until(): number {
    return this.#follower.until;
  }

  /** Somebody reads. */
  wake(): void {
    this.#follower.wake();
  }

  isGood(entry: Entry<Value>, now: number): boolean {
    if (entry.generation < this.#verifiedFrom || !this.options.memory.isGood(entry)) return false;
    // What was loaded without the store ends by itself.
    return entry.version === 0 || now < this.until;
  }

  /** Everything has to be verified again. */
  forget(): void {
    this.#verifiedFrom = this.options.memory.generations.advance();
    this.options.ongoing.outdateAll();
  }

  close(): void {
    this.#follower.close();
  }

  #apply({ isReset, keys, tags }: CacheChanges): void {
    const { memory, ongoing } = this.options;
    if (isReset) this.forget();
    for (const tag of tags) memory.generations.invalidate(tag);
    for (const [id, version] of keys) {
      ongoing.outdate(id);
      const entry = memory.peek(id);
      if (entry !== undefined && entry.version < version) distrust(entry);
    }
  }
}

/** It has to be held against the store before anybody is given it. */
function distrust(entry: Entry<unknown>): void {
  entry.generation = -1;
  entry.checkedAt = -1;
}
