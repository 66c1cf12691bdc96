// The store contract as a model: random histories run on a store and, beside it, on a list that is scanned for everything.
import { optionsOf } from "@holdfast/core";
import type { QueueModelSubject } from "../trial.ts";
import type { Departure } from "./follows-reference.ts";

export interface QueueModelOptions {
  /** How many histories of up to 80 commands are run. From 1. @defaultValue 100 */
  readonly histories?: number;
  /** Of the histories: the same gives the same. @defaultValue fast-check's own, which the error tells */
  readonly seed?: number;
  /** Whether a history that fails is made as short as may be. @defaultValue true */
  readonly shrink?: boolean;
}

/** A history on a store that did not go as in the reference. */
export class QueueModelError extends Error {
  override readonly name = "QueueModelError";

  constructor(
    /** The commands that were run, the shortest history found; the last is the one that went wrong. */
    readonly history: readonly string[],
    /** Gives the same histories again. */
    readonly seed: number,
    cause: unknown,
  ) {
    const what = cause instanceof Error ? cause.message : String(cause);
    const steps = history.map((step) => `\n  ${step}`).join("");
    super(`the store departs from the reference (seed ${seed}): ${what}${steps}`, { cause });
  }
}

/**
 * Runs random histories of a queue on a store and compares everything that can be asked of it, after each command, with a
 * reference: enqueue, claim, settle, renew, report, checkpoint, signal, cancel, redrive, discard, pause, schedules,
 * followers, and time, to the millisecond. Needs `fast-check`, an optional peer. The stores are used one after the other.
 *
 * @throws QueueModelError with the shortest history found that departs from the reference.
 * @throws InvalidOptionError when an option is out of range.
 *
 * @example
 * ```ts
 * import { manualClock, type ManualClock } from "@holdfast/core/testing";
 * import { memoryStore } from "@holdfast/queue";
 * import { queueStoreModel } from "@holdfast/queue/testing";
 *
 * let clock: ManualClock;
 * await queueStoreModel(
 *   {
 *     make: () => memoryStore({ clock: (clock = manualClock()) }),
 *     advance: (ms) => clock.advance(ms),
 *   },
 *   { histories: 20 },
 * );
 * ```
 */
export async function queueStoreModel(
  subject: QueueModelSubject,
  options: QueueModelOptions = {},
): Promise<void> {
  const check = optionsOf("queueStoreModel");
  const numRuns = check.integer("histories", options.histories, { min: 1, max: 1e9 }, 100);
  const endOnFailure = !check.boolean("shrink", options.shrink, true);
  const [{ check: run }, { followsReference }] = await Promise.all([
    // Only here: the conformance suite of the same entry works without this peer.
    import("fast-check"),
    import("./follows-reference.ts"),
  ]);
  let departure: Departure | undefined;
  const property = followsReference(subject, (found) => (departure = found));
  const seeded = options.seed === undefined ? {} : { seed: options.seed };
  const { failed, seed, errorInstance } = await run(property, { numRuns, endOnFailure, ...seeded });
  if (failed) throw new QueueModelError(departure?.history ?? [], seed, departure?.cause ?? errorInstance);
}
