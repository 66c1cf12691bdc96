// Sends a body on and keeps a copy of it, as long as it is small.

/** A body that is sent on while it is collected. */
export interface CollectedBody {
  /** For whoever asked. */
  readonly stream: ReadableStream<Uint8Array>;
  /** All of it; `undefined` if it was larger than allowed or ended too early. Never rejects. */
  readonly whole: Promise<Uint8Array | undefined>;
  /** Collects no more; whoever asked still gets all of it. */
  readonly giveUp: () => void;
}

/**
 * Reads as fast as the body comes while it is small, so that a reader who is slow keeps nobody waiting; from `maxBytes` on
 * only as fast as it is read, and keeps nothing. A reader who leaves stops a large body, not a small one.
 */
export function collectBody(body: ReadableStream<Uint8Array>, maxBytes: number): CollectedBody {
  const reader = body.getReader();
  /** Without chunks, nothing is collected any more. */
  const state: { chunks: Uint8Array[] | undefined; size: number; isLeft: boolean } = {
    chunks: [],
    size: 0,
    isLeft: false,
  };
  let finish: (whole: Uint8Array | undefined) => void = () => {};
  const whole = new Promise<Uint8Array | undefined>((resolve) => {
    finish = resolve;
  });
  const giveUp = (): void => {
    state.chunks = undefined;
    finish(undefined);
    if (state.isLeft) void reader.cancel().catch(() => {});
  };

  /** @returns whether there is more. */
  const readOne = async (controller: ReadableStreamDefaultController<Uint8Array>): Promise<boolean> => {
    let result: ReadableStreamReadResult<Uint8Array>;
    try {
      result = await reader.read();
    } catch (error) {
      giveUp();
      if (!state.isLeft) controller.error(error);
      return false;
    }
    if (result.done) {
      finish(state.chunks === undefined ? undefined : joined(state.chunks, state.size));
      if (state.chunks !== undefined) state.chunks = [];
      if (!state.isLeft) controller.close();
      return false;
    }
    const { value } = result;
    state.size += value.byteLength;
    if (!(state.size <= maxBytes)) giveUp();
    // A copy: whoever reads the chunk may change it.
    else state.chunks?.push(value.slice());
    if (!state.isLeft) controller.enqueue(value);
    return true;
  };
  const readEagerly = async (controller: ReadableStreamDefaultController<Uint8Array>): Promise<void> => {
    while (state.chunks !== undefined && (await readOne(controller)));
  };

  let eager: Promise<void> = Promise.resolve();
  const stream = new ReadableStream<Uint8Array>(
    {
      start: (controller) => {
        eager = readEagerly(controller);
      },
      pull: async (controller) => {
        await eager;
        if (state.chunks === undefined && !state.isLeft) await readOne(controller);
      },
      cancel: async (reason) => {
        state.isLeft = true;
        if (state.chunks === undefined) await reader.cancel(reason);
      },
    },
    { highWaterMark: 0 },
  );
  return { stream, whole, giveUp };
}

function joined(chunks: readonly Uint8Array[], size: number): Uint8Array {
  const all = new Uint8Array(size);
  let at = 0;
  for (const chunk of chunks) {
    all.set(chunk, at);
    at += chunk.byteLength;
  }
  return all;
}
