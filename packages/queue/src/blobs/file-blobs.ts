// Blobs as files in a folder: each is there as a whole or not at all.
import { randomUUID } from "node:crypto";
import { mkdir, open, opendir, readdir, readFile, rename, stat, unlink } from "node:fs/promises";
import { join } from "node:path";
import type { Clock } from "@holdfast/core";
import { optionsOf, systemClock } from "@holdfast/core";
import type { BlobCallOptions, BlobEntry, BlobStore } from "../codec/blob-store.ts";

export interface FileBlobsOptions {
  /** Made when it is not there. One machine's, or shared by all that work on the queue. */
  readonly folder: string;
  /** @defaultValue systemClock */
  readonly clock?: Clock;
}

/** A file that was being written when its process ended is deleted by a listing after this long, in milliseconds. */
const LEFTOVER_MS = 86_400_000;
const UNFINISHED = ".part";
const KEY = /^([\w.-]{1,100})\/([\w.:-]{1,100})\/([a-z]+-[\da-f]+)$/;

/**
 * Keeps blobs as files: written beside, synced to the disk, then renamed. For `offloaded({ store })`.
 *
 * @throws InvalidOptionError for a folder that is no name.
 *
 * @example
 * ```ts no-run: writes files
 * import { memoryStore, queue } from "@holdfast/queue";
 * import { fileBlobs } from "@holdfast/queue/blobs";
 * import { offloaded } from "@holdfast/queue/codec";
 *
 * const store = fileBlobs({ folder: "/var/lib/images" });
 * const images = queue({ name: "images", store: memoryStore(), codecs: [offloaded({ store, above: 65_536 })] });
 * ```
 */
export function fileBlobs(options: FileBlobsOptions): BlobStore {
  const folder = optionsOf("fileBlobs").string("folder", options.folder, 4_096);
  const clock = options.clock ?? systemClock;
  return {
    put: async (key, bytes, { signal }) => put(pathOf(folder, key), bytes, signal),
    get: async (key, { signal }) => orUndefined(readFile(pathOf(folder, key).file, { signal })),
    delete: async (key) => orUndefined(unlink(pathOf(folder, key).file)),
    list: (prefix, call) => list(folder, prefix, clock, call),
  };
}

async function put(path: BlobPath, bytes: Uint8Array, signal: AbortSignal | undefined): Promise<void> {
  signal?.throwIfAborted();
  await mkdir(path.folder, { recursive: true });
  const unfinished = join(path.folder, `${randomUUID()}${UNFINISHED}`);
  try {
    const file = await open(unfinished, "wx");
    try {
      await file.writeFile(bytes, { signal });
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(unfinished, path.file);
    await syncFolder(path.folder);
  } catch (error) {
    await orUndefined(unlink(unfinished));
    throw error;
  }
}

async function* list(
  folder: string,
  prefix: string,
  clock: Clock,
  { signal }: BlobCallOptions,
): AsyncGenerator<BlobEntry, void, undefined> {
  const queues = (await orUndefined(readdir(folder))) ?? [];
  for (const queue of queues.filter(
    (name) => `${unescaped(name)}/`.startsWith(prefix) || prefix.startsWith(`${unescaped(name)}/`),
  )) {
    for await (const { name } of (await orUndefined(opendir(join(folder, queue)))) ?? []) {
      signal?.throwIfAborted();
      const path = join(folder, queue, name);
      const modifiedAt = (await orUndefined(stat(path)))?.mtimeMs;
      if (modifiedAt === undefined) continue;
      if (name.endsWith(UNFINISHED)) {
        if (modifiedAt < clock.now() - LEFTOVER_MS) await orUndefined(unlink(path));
        continue;
      }
      const key = `${unescaped(queue)}/${unescaped(name).replace("~", "/")}`;
      if (key.startsWith(prefix)) yield { key, modifiedAt };
    }
  }
}

/** Where a blob is. */
interface BlobPath {
  readonly folder: string;
  readonly file: string;
}

/** A folder for each queue, a file for each blob: names of at most 255 characters, with no dot or colon of a key in them. */
function pathOf(folder: string, key: string): BlobPath {
  const [, queue, id, part] =
    KEY.exec(key) ?? optionsOf("fileBlobs").refuse("key", key, "a key of a payload");
  const queueFolder = join(folder, escaped(queue!));
  return { folder: queueFolder, file: join(queueFolder, `${escaped(id!)}~${part!}`) };
}

function escaped(name: string): string {
  return name.replaceAll(".", "=d").replaceAll(":", "=c");
}

function unescaped(name: string): string {
  return name.replaceAll("=d", ".").replaceAll("=c", ":");
}

async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function orUndefined<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work;
  } catch (error) {
    if ((error as { readonly code?: unknown }).code === "ENOENT") return undefined;
    throw error;
  }
}
