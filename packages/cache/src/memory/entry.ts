// One value in memory, and how long it is what. Times are in milliseconds of the clock's monotonic time.

/** `value` is `undefined` where it is remembered that there is none. */
export interface Entry<Value> {
  readonly value: Value | undefined;
  readonly tags: readonly string[];
  /** The latest invalidation of a tag when its load began. */
  generation: number;
  /** The latest invalidation that it has been held against. */
  checkedAt: number;
  /** Which it is of the values that a shared tier had of its key; 0 without one. */
  readonly version: number;
  readonly freshUntil: number;
  /** How long a reader is given it while a new one is loaded. */
  readonly staleUntil: number;
  /** How long a reader is given it when loading fails. */
  readonly errorUntil: number;
  /** Before this, nobody has to think about renewing it. */
  quietUntil: number;
  /** How long it took to load. */
  readonly loadMs: number;
  /** When it was asked for last. Only looked at with `maxIdle`. */
  usedAt: number;
}

/** The time from which on nobody is given it. */
export function endOf({ freshUntil, staleUntil, errorUntil }: Entry<unknown>): number {
  return Math.max(freshUntil, staleUntil, errorUntil);
}

/**
 * Whether to renew it now, by draw (XFetch): as if it expired `loadMs · beta · −ln(u)` earlier, for u drawn evenly from
 * (0, 1]. The chance with `left` to go is e^(−left / (beta · loadMs)).
 */
export function drawsRefresh(leftMs: number, loadMs: number, beta: number, draw: number): boolean {
  return loadMs * beta * -Math.log(1 - draw) >= leftMs;
}
