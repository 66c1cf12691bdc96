// A worker's patience with its store: a call that is never answered, or a lost wake-up, must not stop it for ever.
import type { Clock, Timer } from "@holdfast/core";
import { TimeoutError } from "@holdfast/core";
import type { Queue } from "../queue/queue-contract.ts";

/** The store's answer, or a `TimeoutError` when there is none within `ms`; one that comes later is not heeded. */
export async function answered<T>(call: Promise<T>, ms: number, clock: Clock): Promise<T> {
  let timer: Timer | undefined;
  const tooLate = new Promise<never>((_, reject) => {
    timer = clock.setTimer(ms, () => reject(new TimeoutError("the store", ms)));
  });
  try {
    return await Promise.race([call, tooLate]);
  } finally {
    timer?.cancel();
  }
}

/** Waits until there may be work, but no longer than `ms`. Rejects when the store does; returns when it is to stop. */
export async function workOrTime(
  { store, name, clock }: Queue,
  ms: number,
  stop: AbortSignal,
): Promise<void> {
  if (stop.aborted) return;
  const wait = new AbortController();
  const onStop = (): void => wait.abort(stop.reason);
  stop.addEventListener("abort", onStop, { once: true });
  const timer = clock.setTimer(ms, () => wait.abort());
  try {
    await store.waitForWork(name, wait.signal);
  } catch (error) {
    if (!wait.signal.aborted) throw error;
  } finally {
    timer.cancel();
    stop.removeEventListener("abort", onStop);
  }
}
