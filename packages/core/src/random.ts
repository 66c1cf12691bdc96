// Randomness as an argument: the system's by default, a seeded one in tests and simulations.

/** Draws from [0, 1), uniformly. `Math.random` is one; it is not for secrets. */
export type Random = () => number;

/** The host's own generator, and the default wherever a `random` is taken. */
export const systemRandom: Random = () => Math.random();

/**
 * A repeatable generator: the same seed draws the same numbers on every machine. Not for secrets.
 * Algorithm: SplitMix32, the 32-bit variant of SplitMix (Steele, Lea & Flood, OOPSLA 2014).
 *
 * @example
 * ```ts
 * import { seededRandom } from "@holdfast/core";
 *
 * seededRandom(7)() === seededRandom(7)(); // => true
 * ```
 */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x9e3779b9) >>> 0;
    let mixed = state ^ (state >>> 16);
    mixed = Math.imul(mixed, 0x21f0aaad);
    mixed ^= mixed >>> 15;
    mixed = Math.imul(mixed, 0x735a2d97);
    mixed ^= mixed >>> 15;
    return (mixed >>> 0) / 2 ** 32;
  };
}
