// Loads of many keys by one question to the source.
import type { Clock, Duration } from "@holdfast/core";
import { asError, optionsOf, systemClock } from "@holdfast/core";
import type { Cacheable, CacheKey, LoadContext } from "../contract.ts";

export interface LoadsInBatchesOptions<Key extends CacheKey, Value extends Cacheable> {
  /**
   * Gets several: an answer for each key, in their order. An `Error` in place of a value fails that key alone; what it
   * throws fails all of them. The signal aborts when no caller's load is left.
   */
  readonly loadMany: (
    keys: readonly Key[],
    context: { readonly signal: AbortSignal },
  ) => PromiseLike<readonly (Value | undefined | Error)[]>;
  /** Most keys of one question. From 1. @defaultValue 100 */
  readonly max?: number;
  /** How long a first key waits for others. @defaultValue 0: for all that ask in the same turn */
  readonly wait?: Duration;
  /** @defaultValue systemClock */
  readonly clock?: Clock;
}

/** The defaults of `loadsInBatches`. */
export const LOADS_IN_BATCHES_DEFAULTS: { readonly max: number } = { max: 100 };

/**
 * A `load` for `createCache` that asks the source for many keys at once: those of a `getMany`, and of all other readers in
 * the same moment. Each key has its own single flight, deadline and invalidation as ever.
 *
 * @throws InvalidOptionError when an option is out of range.
 *
 * @example
 * ```ts
 * import { createCache, loadsInBatches } from "@holdfast/cache";
 *
 * const asked: number[][] = [];
 * const prices = createCache({
 *   load: loadsInBatches({
 *     loadMany: async (ids: readonly number[]) => {
 *       asked.push([...ids]);
 *       return ids.map((id) => (id === 2 ? new Error("no such article") : id * 10));
 *     },
 *   }),
 * });
 * const answers = await prices.getMany([1, 2, 3]);
 * answers.map(({ status }) => status); // => ["fulfilled", "rejected", "fulfilled"]
 * asked; // => [[1, 2, 3]]
 * ```
 */
export function loadsInBatches<Key extends CacheKey, Value extends Cacheable>(
  options: LoadsInBatchesOptions<Key, Value>,
): (key: Key, context: LoadContext<Value>) => Promise<Value | undefined> {
  const check = optionsOf("loadsInBatches");
  const { loadMany } = check.object("options", options);
  if (typeof loadMany !== "function") check.refuse("loadMany", loadMany, "a function");
  const max = check.integer("max", options.max, { min: 1 }, LOADS_IN_BATCHES_DEFAULTS.max);
  const waitMs = check.duration("wait", options.wait, {}, 0);
  const clock = options.clock ?? systemClock;
  let waiting: Wanted<Key, Value>[] = [];
  const send = (): void => {
    const wanted = waiting;
    waiting = [];
    for (let from = 0; from < wanted.length; from += max)
      void answer(wanted.slice(from, from + max), loadMany);
  };
  return (key, { signal }) =>
    new Promise((resolve, reject) => {
      if (waiting.length === 0) clock.setTimer(waitMs, send);
      waiting.push({ key, signal, resolve, reject });
    });
}

interface Wanted<Key, Value> {
  readonly key: Key;
  readonly signal: AbortSignal;
  readonly resolve: (value: Value | undefined) => void;
  readonly reject: (error: Error) => void;
}

/** Never rejects: each that is wanted is told. */
async function answer<Key extends CacheKey, Value extends Cacheable>(
  batch: readonly Wanted<Key, Value>[],
  loadMany: LoadsInBatchesOptions<Key, Value>["loadMany"],
): Promise<void> {
  const wanted = batch.filter(({ signal }) => !signal.aborted);
  if (wanted.length === 0) return;
  const controller = new AbortController();
  let left = wanted.length;
  const leave = (): void => {
    left -= 1;
    if (left === 0) controller.abort(wanted.at(-1)?.signal.reason);
  };
  for (const { signal } of wanted) signal.addEventListener("abort", leave, { once: true });
  try {
    const keys = wanted.map(({ key }) => key);
    const answers = await loadMany(keys, { signal: controller.signal });
    if (!Array.isArray(answers) || answers.length !== keys.length)
      optionsOf("loadsInBatches").refuse(
        "loadMany",
        answers,
        `a function that answers with ${keys.length} values`,
      );
    wanted.forEach(({ resolve, reject }, index) => {
      const value = answers[index] as Value | undefined | Error;
      if (value instanceof Error) reject(value);
      else resolve(value);
    });
  } catch (error) {
    for (const { reject } of wanted) reject(asError(error));
  } finally {
    for (const { signal } of wanted) signal.removeEventListener("abort", leave);
  }
}
