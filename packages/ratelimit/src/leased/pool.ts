// What a process has borrowed for one subject.
import type { Decision } from "../decision.ts";

/** One loan. */
export interface LoanedSlice {
  left: number;
  /** On the process's monotonic time, from before the store was asked: it is over no later than the store thinks. */
  readonly endsAt: number;
  /** What the store refunds it by. */
  readonly decision: Decision;
}

/** Loans of one subject, the oldest first, and how much is to be borrowed next. */
export class Pool {
  readonly #slices: LoanedSlice[] = [];
  /** What the store said last. */
  told: Decision | undefined;
  /** Its refusal, when that was, and until when it is believed. */
  refusal: { readonly decision: Decision; readonly at: number; readonly until: number } | undefined;
  /** A question under way, which those who come meanwhile wait for. */
  borrowing: Promise<void> | undefined;
  /** What they want. */
  wanted = 0;
  #sliceSize = 1;
  #lastBorrowedAt = -Infinity;

  get isEmpty(): boolean {
    return this.#slices.length === 0 && this.borrowing === undefined;
  }

  /** What can be taken now. */
  left(now: number): number {
    let sum = 0;
    for (const { left, endsAt } of this.#slices) if (endsAt > now) sum += left;
    return sum;
  }

  /** Takes if there is as much. @returns the oldest slice that it came from. */
  take(cost: number, now: number): LoanedSlice | undefined {
    const first = this.#slices[0];
    if (first !== undefined && first.endsAt > now && first.left >= cost) {
      first.left -= cost;
      if (first.left === 0) this.#slices.shift();
      return first;
    }
    if (this.left(now) < cost) return undefined;
    const usable = this.#slices.filter(({ endsAt }) => endsAt > now);
    let rest = cost;
    for (const slice of usable) {
      const part = Math.min(rest, slice.left);
      slice.left -= part;
      rest -= part;
    }
    return usable[0];
  }

  /** How much to borrow, by how fast the last slice was used: twice as much, or as much as that. */
  nextSlice(now: number, leaseMs: number, max: number): number {
    const age = now - this.#lastBorrowedAt;
    if (age < leaseMs / 2) this.#sliceSize *= 2;
    else if (age > leaseMs) this.#sliceSize /= 2;
    this.#sliceSize = Math.min(max, Math.max(1, this.#sliceSize));
    this.#lastBorrowedAt = now;
    return Math.floor(this.#sliceSize);
  }

  /** There was none: others want some too, so that the next slice is smaller. */
  giveWay(): void {
    this.#sliceSize /= 2;
  }

  /** Whether it is time to borrow before there is none left. Who needs but one now and then does not. */
  isLow(now: number): boolean {
    return this.#sliceSize > 1 && this.left(now) < this.#sliceSize / 4;
  }

  add(slice: LoanedSlice): void {
    this.#slices.push(slice);
    this.told = slice.decision;
  }

  /** Takes out what can be used no longer, or all of it. */
  drop(now: number): readonly LoanedSlice[] {
    const over = this.#slices.filter(({ endsAt, left }) => endsAt <= now || left === 0);
    if (over.length === 0) return over;
    const kept = this.#slices.filter((slice) => !over.includes(slice));
    this.#slices.splice(0, this.#slices.length, ...kept);
    return over.filter(({ left }) => left > 0);
  }
}
