// Calls an observer the user passed in, and never lets it change what is observed.

/** Calls `listener` with `event`. What it throws, or a promise it returns that rejects, is dropped. */
export function notify<Event>(listener: ((event: Event) => unknown) | undefined, event: Event): void {
  if (listener === undefined) return;
  try {
    const result = listener(event);
    if (result instanceof Promise) result.catch(() => {});
  } catch {
    // An observer's own fault; the observed work goes on.
  }
}
