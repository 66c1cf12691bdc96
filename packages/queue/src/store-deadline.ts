// A worker's patience with its store: a call that is never answered must not stop it for ever.
import type { Clock, Timer } from "@holdfast/core";
import { TimeoutError } from "@holdfast/core";

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
