// Makes an error without walking the stack.

interface StackLimit {
  stackTraceLimit?: number;
}

/** What `make` makes, without its stack: where a refusal was made says nothing, and looking costs most of it. */
export function withoutStack<E extends Error>(make: () => E): E {
  const host = Error as StackLimit;
  const limit = host.stackTraceLimit;
  // Hosts that count no frames, or allow no change, make the error with its stack.
  if (limit === undefined || Object.isFrozen(Error)) return make();
  host.stackTraceLimit = 0;
  try {
    return make();
  } finally {
    host.stackTraceLimit = limit;
  }
}
