// Waits until a queue has worked off what there is: by the events of its tasks, and by looking now and then.
import { optionsOf } from "@holdfast/core";
import { answered } from "../store/store-deadline.ts";
import type { TaskState } from "../task/task-status.ts";
import type { DrainOptions, DrainReport, Queue } from "./queue-contract.ts";

/** The states that must be empty, those first whose tasks are likely to end first. */
const OVER: Readonly<Record<NonNullable<DrainOptions["until"]>, readonly TaskState[]>> = {
  stopped: ["running"],
  idle: ["running", "ready"],
  empty: ["running", "ready", "scheduled", "waiting"],
};
/** No look comes sooner after another, and none later, in milliseconds. */
const LOOK_MS = 50;
const POLL_MS = 5_000;
/** A store gets this long to answer, in milliseconds, though the time be up. */
const PATIENCE_MS = 2_000;

/** @throws InvalidOptionError, the signal's reason, the store's error */
export async function drained(queue: Queue, options: DrainOptions): Promise<DrainReport> {
  const check = optionsOf("drain");
  const states = OVER[check.oneOf("until", options.until, ["stopped", "idle", "empty"], "idle")];
  const withinMs = check.duration("within", options.within, {}, 30_000);
  const { signal } = options;
  signal?.throwIfAborted();
  const { clock } = queue;
  const endsAt = clock.monotonic() + withinMs;
  let onAbort = (): void => {};
  const aborted = new Promise<never>((_, reject) => (onAbort = () => reject(signal?.reason as Error)));
  signal?.addEventListener("abort", onAbort, { once: true });
  try {
    for (;;) {
      const patienceMs = Math.max(PATIENCE_MS, endsAt - clock.monotonic());
      const stats = await Promise.race([answered(queue.stats(), patienceMs, clock), aborted]);
      const busy = states.find((state) => stats[state] > 0);
      const leftMs = endsAt - clock.monotonic();
      if (busy === undefined || leftMs <= 0) return { drained: busy === undefined, stats };
      const stop = new AbortController();
      await Promise.race([change(queue, busy, Math.min(leftMs, POLL_MS), stop), aborted]).finally(() =>
        stop.abort(),
      );
    }
  } finally {
    signal?.removeEventListener("abort", onAbort);
  }
}

/** Resolves after a moment and an event of a task in this state, or when the time is up. */
async function change(queue: Queue, state: TaskState, ms: number, stop: AbortController): Promise<void> {
  const { clock, store, name } = queue;
  const timeUp = clock.sleep(ms, stop.signal, { keepAlive: true });
  const event = async (): Promise<void> => {
    await clock.sleep(LOOK_MS, stop.signal);
    const [task] = await store.list(name, state, 1);
    if (task !== undefined) await store.waitForEvents(name, task.id, task.lastSeq, stop.signal);
  };
  await Promise.race([timeUp, event()]);
}
