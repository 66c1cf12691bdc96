// Task IDs: sortable by time, and too long to guess.

/** Makes an ID for a task added at `nowMs`, wall time in milliseconds since the epoch. */
export type TaskIdMaker = (nowMs: number) => string;

/** Fills an array with random bytes; `crypto.getRandomValues` is one. */
export type RandomBytes = (bytes: Uint8Array<ArrayBuffer>) => unknown;

/** Random bytes drawn from the host at a time: a call costs more than the bytes. */
const POOL_BYTES = 4_096;
const RANDOM_BYTES = 10;
const LENGTH = 36;
const HYPHEN = 45;
/** Codes of the hexadecimal digits. */
const DIGITS: readonly number[] = Array.from("0123456789abcdef", (digit) => digit.charCodeAt(0));
/** Where the random bytes stand in the text. */
const RANDOM_AT: readonly number[] = [14, 16, 19, 21, 24, 26, 28, 30, 32, 34];

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
  // Made of codes in one go: a text that is put together of pieces is copied whenever it is looked up for the first time.
  const codes = new Array<number>(LENGTH).fill(HYPHEN);
  const write = (at: number, byte: number): void => {
    codes[at] = DIGITS[byte >> 4]!;
    codes[at + 1] = DIGITS[byte & 0x0f]!;
  };
  let writtenMs: number | undefined;
  const writeTime = (nowMs: number): void => {
    const time = Math.floor(nowMs).toString(16).padStart(12, "0");
    for (let at = 0; at < 12; at += 1) codes[at < 8 ? at : at + 1] = time.charCodeAt(at);
    writtenMs = nowMs;
  };
  return (nowMs) => {
    if (used + RANDOM_BYTES > POOL_BYTES) {
      randomBytes(pool);
      used = 0;
    }
    if (nowMs !== writtenMs) writeTime(nowMs);
    for (let index = 0; index < RANDOM_BYTES; index += 1) write(RANDOM_AT[index]!, pool[used + index]!);
    write(14, 0x70 | (pool[used]! & 0x0f));
    write(19, 0x80 | (pool[used + 2]! & 0x3f));
    used += RANDOM_BYTES;
    return String.fromCharCode.apply(undefined, codes);
  };
}
