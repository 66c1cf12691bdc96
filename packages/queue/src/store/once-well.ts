// Work that is to go well once.

/** Does something once it has gone well, and again as long as it has not. */
export function onceWell(work: () => Promise<void>): () => Promise<void> {
  let done: Promise<void> | undefined;
  return () => {
    done ??= work().catch((error: unknown) => {
      done = undefined;
      throw error;
    });
    return done;
  };
}
