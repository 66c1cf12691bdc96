// A wait that ends with whatever comes first: what is waited for, which goes on, or one of several signals.

/** Begins, unless one has aborted, and waits. Rejects with the reason of the first signal that aborts. */
export async function unlessAborted(
  begin: () => Promise<void>,
  ...signals: readonly (AbortSignal | undefined)[]
): Promise<void> {
  const given = signals.filter((signal) => signal !== undefined);
  for (const signal of given) signal.throwIfAborted();
  let onAbort = (): void => {};
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => reject(given.find((signal) => signal.aborted)?.reason as Error);
  });
  for (const signal of given) signal.addEventListener("abort", onAbort);
  try {
    await Promise.race([begin(), aborted]);
  } finally {
    for (const signal of given) signal.removeEventListener("abort", onAbort);
  }
}
