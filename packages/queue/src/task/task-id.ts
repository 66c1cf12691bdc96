// Task IDs: sortable by time, and too long to guess.

/** Makes an ID for a task added at `nowMs`, wall time in milliseconds since the epoch. */
export type TaskIdMaker = (nowMs: number) => string;

/** Fills an array with random bytes; `crypto.getRandomValues` is one. */
export type RandomBytes = (bytes: Uint8Array<ArrayBuffer>) => unknown;

/** Random bytes drawn from the host at a time: a call costs more than the bytes. */
const POOL_BYTES = 4_096;
const HEX: readonly string[] = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));

/**
 * Makes UUIDs of version 7 (RFC 9562 §5.7): 48 bits of time, then 74 random bits. Knowing one does not help to
 * guess another; two of the same millisecond are in any order.
 *
 * @example
 * ```ts
 * import { uuidV7 } from "@holdfast/queue";
 *
 * const makeId = uuidV7();
 * makeId(1) < makeId(2); // => true
 * ```
 */
export function uuidV7(randomBytes: RandomBytes = (bytes) => crypto.getRandomValues(bytes)): TaskIdMaker {
  const pool = new Uint8Array(POOL_BYTES);
  let used = POOL_BYTES;
  const next = (): string => HEX[pool[used++]!]!;
  const pair = (): string => next() + next();
  return (nowMs) => {
    if (used + 10 > POOL_BYTES) {
      randomBytes(pool);
      used = 0;
    }
    const time = Math.floor(nowMs).toString(16).padStart(12, "0");
    const versioned = HEX[0x70 | (pool[used++]! & 0x0f)]!;
    const variant = HEX[0x80 | (pool[used++]! & 0x3f)]!;
    return `${time.slice(0, 8)}-${time.slice(8, 12)}-${versioned}${next()}-${variant}${next()}-${pair()}${pair()}${pair()}`;
  };
}
