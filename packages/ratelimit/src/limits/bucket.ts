// The arithmetic of token bucket, leaky bucket as a meter, and GCRA: all three are a debt that drains at a constant rate.
import { optionsOf } from "@holdfast/core";
import type { LimitState, Rule } from "./limit.ts";

/**
 * What has been taken and has not come back yet. A full token bucket, an empty leaky bucket and a theoretical arrival
 * time in the past (GCRA; ATM Forum TM 4.0, 1996) are all a debt of 0.
 */
export interface BucketState extends LimitState {
  /** In units, of which one token is {@link perToken}. */
  debt: number;
  /** Up to when it has drained, in microseconds. */
  at: number;
  /** Units of a token when the debt was written. */
  perToken: number;
}

/** Integers throughout: a rate of 2 tokens in 3 s drains 1 unit in each tick, and a token is 1,500,000 units. */
export interface BucketRate {
  readonly capacity: number;
  /** Units of a token. */
  readonly perToken: number;
  /** Units that drain in a tick. */
  readonly perTick: number;
  /** 1; or 1,000 where a microsecond would need more than 53 bits. */
  readonly tickUs: number;
}

/** Beyond this, integers in a double are no longer exact. */
const MAX_UNITS = Number.MAX_SAFE_INTEGER;

/** @throws InvalidOptionError when capacity and rate together need more than 53 bits. */
export function bucketRate(
  owner: string,
  names: { readonly capacity: string; readonly refill: string },
  capacity: number,
  refill: number,
  periodMs: number,
): BucketRate {
  for (const tickUs of [1, 1_000]) {
    const ticks = (periodMs * 1_000) / tickUs;
    const divisor = greatestCommonDivisor(ticks, refill);
    const perToken = ticks / divisor;
    if (capacity * perToken <= MAX_UNITS / 2)
      return { capacity, perToken, perTick: refill / divisor, tickUs };
  }
  return optionsOf(owner).refuse(
    names.capacity,
    capacity,
    `smaller for so uneven a rate, or "${names.refill}" a divisor or multiple of the period in milliseconds`,
  );
}

/** A class, unlike the other rules: its methods are the same for every limit, so that they are compiled inline. */
export class BucketRule implements Rule<BucketState> {
  readonly kind = "bucket";
  readonly parameters: readonly number[];
  /** Units of a full debt. */
  readonly #full: number;
  readonly #perToken: number;
  readonly #perTick: number;
  readonly #tickUs: number;

  constructor({ capacity, perToken, perTick, tickUs }: BucketRate) {
    this.parameters = [capacity, perToken, perTick, tickUs];
    this.#full = capacity * perToken;
    this.#perToken = perToken;
    this.#perTick = perTick;
    this.#tickUs = tickUs;
  }

  create(): BucketState {
    return { blockedUntil: 0, debt: 0, at: 0, perToken: this.#perToken };
  }

  advance(state: BucketState, now: number): void {
    if (state.perToken !== this.#perToken) this.#adopt(state);
    const ticks = this.#tickUs === 1 ? now - state.at : Math.floor((now - state.at) / this.#tickUs);
    // Of a clock that was set back, nothing drains.
    if (ticks <= 0) return;
    const left = state.debt - ticks * this.#perTick;
    state.debt = left > 0 ? left : 0;
    state.at = left > 0 ? state.at + ticks * this.#tickUs : now;
  }

  waitFor(state: BucketState, now: number, cost: number): number {
    return this.#timeFor(state, now, state.debt + cost * this.#perToken - this.#full);
  }

  spend(state: BucketState, now: number, cost: number): number {
    if (state.debt === 0 && state.at < now) state.at = now;
    state.debt = Math.min(MAX_UNITS, state.debt + cost * this.#perToken);
    // When the last of it will have drained.
    return state.at + this.#ticksFor(state.debt) * this.#tickUs;
  }

  refund(state: BucketState, now: number, cost: number, mark: number): void {
    // What was taken first drains first, and what has drained was given back already: give or take a tick of refill.
    const left = Math.max(0, Math.ceil((mark - now) / this.#tickUs) * this.#perTick);
    state.debt = Math.max(0, state.debt - Math.min(cost * this.#perToken, left));
  }

  remaining({ debt }: BucketState): number {
    return debt >= this.#full ? 0 : Math.floor((this.#full - debt) / this.#perToken);
  }

  growsIn(state: BucketState, now: number): number {
    if (state.debt === 0) return 0;
    const next = (this.remaining(state) + 1) * this.#perToken;
    return this.#timeFor(state, now, state.debt - this.#full + next);
  }

  restsIn(state: BucketState, now: number): number {
    return this.#timeFor(state, now, state.debt);
  }

  /** Until the debt has shrunk by `units`: from the last tick on, of which a part may have passed. */
  #timeFor(state: BucketState, now: number, units: number): number {
    return units <= 0 ? 0 : state.at + this.#ticksFor(units) * this.#tickUs - now;
  }

  /** Most rates are one unit in a tick, and a division is the dearest thing here. */
  #ticksFor(units: number): number {
    return this.#perTick === 1 ? units : Math.ceil(units / this.#perTick);
  }

  #adopt(state: BucketState): void {
    state.debt = Math.min(MAX_UNITS, Math.ceil((state.debt / state.perToken) * this.#perToken));
    state.perToken = this.#perToken;
  }
}

/** Euclid. */
function greatestCommonDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}
