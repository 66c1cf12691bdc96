// Deletes the blobs of tasks that are forgotten.
import type { Duration } from "@holdfast/core";
import { optionsOf } from "@holdfast/core";
import type { Queue } from "../queue/queue-contract.ts";
import type { BlobEntry, BlobStore } from "./blob-store.ts";
import { callBlobs } from "./blob-store.ts";
import { taskOfKey } from "./offloaded.ts";

export interface SweepBlobsOptions {
  readonly queue: Queue;
  readonly store: BlobStore;
  /**
   * Younger ones are left alone: a payload is there before its task is. Longer than any caller waits for room in the
   * queue. @defaultValue "1h"
   */
  readonly minAge?: Duration;
  /** How long a call to the store of blobs may take. @defaultValue "30s" */
  readonly deadline?: Duration;
  readonly signal?: AbortSignal;
}

/** What a sweep has done. */
export interface SweepReport {
  /** Blobs of the queue. */
  readonly seen: number;
  readonly deleted: number;
}

/** Tasks asked about at a time. */
const BATCH = 100;

/**
 * Deletes the blobs of a queue whose tasks it does not know any more: once in a while, by any process. A task that is
 * kept keeps its blobs, however old they are.
 *
 * @throws InvalidOptionError when the store cannot list its blobs, what either store fails with, the signal's reason.
 */
export async function sweepBlobs(options: SweepBlobsOptions): Promise<SweepReport> {
  const check = optionsOf("sweepBlobs");
  const { queue, store, signal } = options;
  const minAgeMs = check.duration("minAge", options.minAge, {}, 3_600_000);
  const deadlineMs = check.duration("deadline", options.deadline, { min: 1 }, 30_000);
  if (store.list === undefined) return check.refuse("store", store, "a store of blobs that can list them");
  let seen = 0;
  let deleted = 0;
  let batch: BlobEntry[] = [];
  const flush = async (): Promise<void> => {
    const ids = batch.map(({ key }) => taskOfKey(queue.name, key)!);
    const known = await queue.store.get(queue.name, ids);
    for (const [at, { key }] of batch.entries()) {
      if (known[at] !== undefined) continue;
      await callBlobs((call) => store.delete(key, call), deadlineMs, queue.clock, signal);
      deleted += 1;
    }
    batch = [];
  };
  const bornBefore = queue.clock.now() - minAgeMs;
  for await (const entry of store.list(`${queue.name}/`, signal === undefined ? {} : { signal })) {
    signal?.throwIfAborted();
    if (taskOfKey(queue.name, entry.key) === undefined) continue;
    seen += 1;
    if (entry.modifiedAt > bornBefore) continue;
    batch.push(entry);
    if (batch.length >= BATCH) await flush();
  }
  await flush();
  return { seen, deleted };
}
