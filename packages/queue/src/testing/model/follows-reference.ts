// The property that every store is to have: any history of a queue goes as it does in the reference.
import fc from "fast-check";
import type { QueueModelSubject } from "../trial.ts";
import { commands, restarts } from "./commands.ts";
import type { Real } from "./comparison.ts";
import { realQueue } from "./comparison.ts";
import { ReferenceQueue } from "./reference-queue.ts";

/** A history that did not go as in the reference. */
export interface Departure {
  /** The commands that were run, by name; the last is the one that went wrong. */
  readonly history: readonly string[];
  readonly cause: unknown;
}

/** @param onDeparture - Called for each history that fails: of several, each is smaller than the one before. */
export function followsReference(
  { make, advance, restart, end }: QueueModelSubject,
  onDeparture: (departure: Departure) => void,
): fc.IAsyncPropertyWithHooks<[Iterable<fc.AsyncCommand<ReferenceQueue, Real>>]> {
  const all = restart === undefined ? [...commands] : [...commands, ...restarts];
  return fc.asyncProperty(fc.commands(all, { maxCommands: 80, size: "max" }), async (history) => {
    const real = realQueue(await make(), advance, restart);
    try {
      try {
        await fc.asyncModelRun(() => ({ model: new ReferenceQueue(), real }), history);
      } finally {
        await real.store.close();
        await end?.();
      }
      await real.followers().closed();
    } catch (cause) {
      onDeparture({ history: real.history, cause });
      throw cause;
    } finally {
      real.followers().end();
    }
  });
}
