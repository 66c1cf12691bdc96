// Collects what many callers ask in one tick of the event loop, so that it is sent as one.

/** Items of one tick, sent together. */
export interface TickBatch<Item> {
  add(item: Item): void;
}

/** Up to so many are sent as one; more are sent as two at least, so that the server decides on some while we read others. */
const WHOLE = 32;

/**
 * Hands what is added within one tick to `send`, in order, in parts of at most `max`: when all that is ready to run has
 * run, and before anything is read from or written to a socket. A single item waits for nothing.
 *
 * @example
 * ```ts
 * import { tickBatch } from "@holdfast/core/redis";
 *
 * const sent: (readonly string[])[] = [];
 * const batch = tickBatch<string>((items) => sent.push(items), 2);
 * for (const item of ["a", "b", "c"]) batch.add(item);
 * await new Promise((resolve) => setImmediate(resolve));
 * sent; // => [["a", "b"], ["c"]]
 * ```
 */
export function tickBatch<Item>(send: (items: readonly Item[]) => void, max: number): TickBatch<Item> {
  let items: Item[] = [];
  const flush = (): void => {
    const ready = items;
    items = [];
    const parts = Math.max(ready.length > WHOLE ? 2 : 1, Math.ceil(ready.length / max));
    const size = Math.ceil(ready.length / parts);
    for (let from = 0; from < ready.length; from += size) send(ready.slice(from, from + size));
  };
  return {
    add: (item) => {
      // After the microtasks: those whose answers came together ask again together.
      if (items.length === 0) process.nextTick(flush);
      items.push(item);
    },
  };
}
