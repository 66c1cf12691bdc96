// A wait that ends with whatever comes first: what it waits for, or one of several signals.

/** @param begin - Is handed what ends the wait. */
export function waitUnlessAborted(
  begin: (settle: () => void) => void,
  signals: readonly (AbortSignal | undefined)[],
): Promise<void> {
  return new Promise((resolve, reject) => {
    const leave = (): void => {
      for (const signal of signals) signal?.removeEventListener("abort", onAbort);
    };
    const onAbort = (): void => {
      leave();
      reject(signals.find((signal) => signal?.aborted === true)?.reason as Error);
    };
    for (const signal of signals) signal?.addEventListener("abort", onAbort);
    if (signals.some((signal) => signal?.aborted === true)) {
      onAbort();
      return;
    }
    begin(() => {
      leave();
      resolve();
    });
  });
}
