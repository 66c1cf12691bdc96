// Invalidates what the events of a feed are about.
import type { Clock } from "@holdfast/core";
import { hasCode } from "@holdfast/core";
import type { CacheKey, InvalidationTargets } from "./contract.ts";

/** Of a cache, what is needed. */
interface Invalidated<Key extends CacheKey> {
  invalidate(key: Key): Promise<void>;
  invalidateTag(tag: string): Promise<void>;
  clear(): Promise<void>;
}

/** How long it waits before it tries again what a store has not acknowledged. */
const PAUSE_MS = 500;

export async function followFeed<Key extends CacheKey, Event>(
  cache: Invalidated<Key>,
  clock: Clock,
  feed: AsyncIterable<Event>,
  targetsOf: (event: Event) => InvalidationTargets<Key> | undefined,
  signal: AbortSignal | undefined,
): Promise<void> {
  const acknowledged = async (invalidate: () => Promise<unknown>): Promise<void> => {
    for (;;)
      try {
        await invalidate();
        return;
      } catch (error) {
        if (!hasCode(error, "STORE_UNAVAILABLE")) throw error;
        await clock.sleep(PAUSE_MS, signal);
      }
  };
  const iterator = feed[Symbol.asyncIterator]();
  try {
    for (;;) {
      const next = await unlessLeft(iterator.next(), signal);
      if (next.done === true) return;
      const { keys = [], tags = [] } = targetsOf(next.value) ?? {};
      await acknowledged(() =>
        Promise.all([
          ...keys.map((key) => cache.invalidate(key)),
          ...tags.map((tag) => cache.invalidateTag(tag)),
        ]),
      );
    }
  } catch (error) {
    if (signal?.aborted === true) return;
    if (!hasCode(error, "CLOSED")) await acknowledged(() => cache.clear());
    throw error;
  } finally {
    // A feed that hangs in its last answer is not waited for.
    if (signal?.aborted === true) void Promise.resolve(iterator.return?.()).catch(() => {});
    else await iterator.return?.();
  }
}

/** As the promise, or rejects when the signal aborts. A listener for each: a race with one promise would never let go. */
function unlessLeft<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise;
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason as Error);
    if (signal.aborted) onAbort();
    signal.addEventListener("abort", onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}
