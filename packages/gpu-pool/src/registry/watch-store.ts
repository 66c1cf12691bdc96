// A watch: asks the store what came after what it has told, whenever something may have changed.
import type { Clock } from "@holdfast/core";
import { asError, hasCode, notify } from "@holdfast/core";
import type { RegistryChange, WatchOptions } from "./contract.ts";
import { changeOf } from "./entry.ts";
import type { ModelStore } from "./store.ts";

/** How long to wait before a store that was lost is asked again, in milliseconds. */
const ASK_AGAIN_MS = 500;

/** @param life - Of the registry. */
export async function* watchStore(
  store: ModelStore,
  { signal, after, onLost }: WatchOptions,
  life: AbortSignal,
  clock: Clock,
): AsyncGenerator<RegistryChange, void, undefined> {
  const ends = [life, ...(signal === undefined ? [] : [signal])];
  const stop = new AbortController();
  let mayHaveChanged = true;
  let wake = (): void => {};
  const onEnd = (): void => {
    stop.abort(ends.find(({ aborted }) => aborted)!.reason);
    wake();
  };
  const leave = store.follow(() => {
    mayHaveChanged = true;
    wake();
  });
  for (const end of ends) end.addEventListener("abort", onEnd, { once: true });
  try {
    let seen = after;
    let isLost = false;
    for (;;) {
      for (const end of ends) end.throwIfAborted();
      if (!mayHaveChanged) {
        await new Promise<void>((resolve) => (wake = resolve));
        continue;
      }
      mayHaveChanged = false;
      try {
        const changes = await store.changesAfter(seen, { signal: stop.signal });
        isLost = false;
        if (!changes.isReset && changes.revision === seen) continue;
        seen = changes.revision;
        yield changeOf(changes);
      } catch (error) {
        if (!hasCode(error, "STORE_UNAVAILABLE")) throw error;
        if (!isLost) notify(onLost, asError(error));
        isLost = true;
        mayHaveChanged = true;
        await clock.sleep(ASK_AGAIN_MS, stop.signal);
      }
    }
  } finally {
    leave();
    for (const end of ends) end.removeEventListener("abort", onEnd);
  }
}
