// How often the tasks of a group may start: a token bucket in whole numbers, so that every store counts alike.
import type { GroupLimit } from "../store/store.ts";

type Rate = NonNullable<GroupLimit["rate"]>;

/** A bucket as it was at a time. */
export interface KeptBucket {
  readonly rate: Rate;
  readonly debt: number;
  readonly at: number;
}

export class TokenBucket {
  /** What is missing to a full bucket, in tokens times `perMs`: it falls by `tasks` in each millisecond. */
  #debt: number;
  #at: number;

  constructor(
    private rate: Rate,
    at: number,
    debt: number = 0,
  ) {
    this.#at = at;
    this.#debt = debt;
  }

  get kept(): KeptBucket {
    return { rate: this.rate, debt: this.#debt, at: this.#at };
  }

  /** From when on there is a token. */
  get opensAt(): number {
    const { tasks, perMs } = this.rate;
    return this.#at + Math.max(0, Math.ceil((this.#debt + perMs - tasks * perMs) / tasks));
  }

  /** From when on it is full, and the same as a new one. */
  get fullAt(): number {
    return this.#at + Math.ceil(this.#debt / this.rate.tasks);
  }

  take(now: number): void {
    this.#fill(now);
    this.#debt += this.rate.perMs;
  }

  /** Takes another rate. What is missing stays missing. */
  change(rate: Rate, now: number): void {
    if (rate.tasks === this.rate.tasks && rate.perMs === this.rate.perMs) return;
    this.#fill(now);
    const debt = Math.ceil((this.#debt / this.rate.perMs) * rate.perMs);
    this.#debt = Math.min(debt, rate.tasks * rate.perMs);
    this.rate = rate;
  }

  #fill(now: number): void {
    this.#debt = Math.max(0, this.#debt - (now - this.#at) * this.rate.tasks);
    this.#at = now;
  }
}
