// Where large payloads go: what is asked of a store of blobs, and a call to it that always ends.
import type { Clock } from "@holdfast/core";
import { StoreUnavailableError } from "@holdfast/core";

/** What a call can be told. */
export interface BlobCallOptions {
  readonly signal?: AbortSignal;
}

/** A blob that is there. */
export interface BlobEntry {
  readonly key: string;
  /** When it was put, in milliseconds since the epoch. */
  readonly modifiedAt: number;
}

/**
 * A store of blobs: a folder (`fileBlobs` of `@holdfast/queue/blobs`), a bucket behind three small functions. Keys are
 * `<queue>/<task ID>/<part>-<random>` of letters, digits and `._:-`; none is put twice.
 */
export interface BlobStore {
  /** Resolves once the blob is kept. */
  put(key: string, bytes: Uint8Array, options: BlobCallOptions): Promise<unknown>;
  /** `undefined` when there is none. */
  get(key: string, options: BlobCallOptions): Promise<Uint8Array | undefined>;
  /** Also resolves when there is none. */
  delete(key: string, options: BlobCallOptions): Promise<unknown>;
  /** All whose keys begin with `prefix`, in any order. What `sweepBlobs` needs. */
  list?(prefix: string, options: BlobCallOptions): AsyncIterable<BlobEntry>;
}

/**
 * Calls the store and settles with it, or when time is up, or when the signal aborts: with the signal's reason.
 *
 * @throws StoreUnavailableError with reason `timeout`, or with the store's error as its cause.
 */
export async function callBlobs<T>(
  call: (options: { readonly signal: AbortSignal }) => Promise<T>,
  deadlineMs: number,
  clock: Clock,
  signal: AbortSignal | undefined,
): Promise<T> {
  signal?.throwIfAborted();
  const stop = new AbortController();
  const onAbort = (): void => stop.abort(signal?.reason);
  signal?.addEventListener("abort", onAbort, { once: true });
  const timer = clock.setTimer(deadlineMs, () =>
    stop.abort(
      new StoreUnavailableError("blobs", `no answer within ${deadlineMs} ms`, { reason: "timeout" }),
    ),
  );
  const stopped = new Promise<never>((_, reject) => {
    stop.signal.addEventListener("abort", () => reject(stop.signal.reason as Error), { once: true });
  });
  try {
    return await Promise.race([call({ signal: stop.signal }), stopped]);
  } catch (error) {
    if (stop.signal.aborted) throw stop.signal.reason;
    throw new StoreUnavailableError("blobs", "the call failed", { cause: error });
  } finally {
    timer.cancel();
    signal?.removeEventListener("abort", onAbort);
  }
}
