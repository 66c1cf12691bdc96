// The states of one limit, by key: bounded, and forgetting only what counts no more.
import type { Random } from "@holdfast/core";
import type { Limit, LimitState } from "../limits/limit.ts";

/** Shared by keys that come while the table is full of keys that count: whoever floods it limits itself. */
const OVERFLOW_STATES = 64;

/** Keys looked at, to see if they can be forgotten, for each new one: more than one, so that the table shrinks. */
const SWEEP_STEPS = 2;

/** The same when it is full, before a new key shares a state. */
const SWEEP_STEPS_FULL = 32;

export class Table {
  readonly #states = new Map<string, LimitState>();
  readonly #overflow: (LimitState | undefined)[] = [];
  readonly #seed: number;
  /** Goes round the keys, for ever. */
  #hand: MapIterator<[string, LimitState]> | undefined;

  constructor(
    private readonly limit: Limit,
    private readonly maxKeys: number,
    random: Random,
  ) {
    this.#seed = Math.floor(random() * 2 ** 32);
  }

  /** The state of a key, to be changed. */
  stateOf(key: string, now: number): LimitState {
    return this.#states.get(key) ?? this.#admit(key, now);
  }

  /** The state of a key, only to be looked at. */
  look(key: string): LimitState {
    const known = this.#states.get(key);
    if (known !== undefined) return known;
    return this.#states.size < this.maxKeys ? this.limit.rule.create() : this.#shared(key);
  }

  forget(key: string): void {
    this.#states.delete(key);
  }

  clear(): void {
    this.#states.clear();
    this.#overflow.length = 0;
    this.#hand = undefined;
  }

  #admit(key: string, now: number): LimitState {
    this.#sweep(SWEEP_STEPS, now);
    if (this.#states.size >= this.maxKeys) this.#sweep(SWEEP_STEPS_FULL, now);
    if (this.#states.size >= this.maxKeys) return this.#shared(key);
    const state = this.limit.rule.create();
    this.#states.set(key, state);
    return state;
  }

  #sweep(steps: number, now: number): void {
    for (let step = 0; step < steps; step += 1) {
      this.#hand ??= this.#states.entries();
      const next = this.#hand.next();
      if (next.done === true) {
        this.#hand = undefined;
        return;
      }
      const [key, state] = next.value;
      if (this.#isIdle(state, now)) this.#states.delete(key);
    }
  }

  /** Whether a new state would be the same. */
  #isIdle(state: LimitState, now: number): boolean {
    if (state.blockedUntil > now) return false;
    this.limit.rule.advance(state, now);
    return this.limit.rule.restsIn(state, now) <= 0;
  }

  #shared(key: string): LimitState {
    const slot = hashOf(key, this.#seed) % OVERFLOW_STATES;
    return (this.#overflow[slot] ??= this.limit.rule.create());
  }
}

/** FNV-1a (Fowler, Noll, Vo), from a seed that nobody outside knows. */
function hashOf(text: string, seed: number): number {
  let hash = seed;
  for (let index = 0; index < text.length; index += 1)
    hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  return hash >>> 0;
}
