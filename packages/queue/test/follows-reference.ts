// The property that every store is to have: any history of a queue goes as it does in the reference.
import type { QueueStore } from "@holdfast/queue";
import fc from "fast-check";
import { commands, restarts } from "./queue-commands.ts";
import type { Real } from "./queue-comparison.ts";
import { realQueue } from "./queue-comparison.ts";
import { ReferenceQueue } from "./reference-queue.ts";

/** A new store on a clock of its own, and what is left to do with both at the end. */
export interface TimedStore {
  readonly store: QueueStore;
  readonly advance: (ms: number) => Promise<void>;
  /** Ends the process, as it were, and opens the store again. Given by all or none of a property's stores. */
  readonly restart?: () => Promise<QueueStore>;
  readonly end?: () => void | Promise<void>;
}

export function followsReference(
  make: () => TimedStore | Promise<TimedStore>,
  canRestart: boolean = false,
): fc.IAsyncPropertyWithHooks<[Iterable<fc.AsyncCommand<ReferenceQueue, Real>>]> {
  const all = canRestart ? [...commands, ...restarts] : [...commands];
  return fc.asyncProperty(fc.commands(all, { maxCommands: 80, size: "max" }), async (history) => {
    const { store, advance, restart, end } = await make();
    const real = realQueue(store, advance, restart);
    try {
      await fc.asyncModelRun(() => ({ model: new ReferenceQueue(), real }), history);
    } finally {
      await real.store.close();
      await end?.();
    }
  });
}
