// The property that every store is to have: any history of a queue goes as it does in the reference.
import type { QueueStore } from "@holdfast/queue";
import fc from "fast-check";
import { commands } from "./queue-commands.ts";
import { realQueue } from "./queue-comparison.ts";
import { ReferenceQueue } from "./reference-queue.ts";

/** A new store on a clock of its own, and what is left to do with both at the end. */
export interface TimedStore {
  readonly store: QueueStore;
  readonly advance: (ms: number) => Promise<void>;
  readonly end?: () => void | Promise<void>;
}

export function followsReference(
  make: () => TimedStore | Promise<TimedStore>,
): fc.IAsyncPropertyWithHooks<[Iterable<fc.AsyncCommand<ReferenceQueue, ReturnType<typeof realQueue>>>]> {
  return fc.asyncProperty(fc.commands([...commands], { maxCommands: 80, size: "max" }), async (history) => {
    const { store, advance, end } = await make();
    try {
      await fc.asyncModelRun(
        () => ({ model: new ReferenceQueue(), real: realQueue(store, advance) }),
        history,
      );
    } finally {
      await store.close();
      await end?.();
    }
  });
}
