// Whether a model's file is the one that was registered.
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { pipeline } from "node:stream/promises";
import { fileURLToPath } from "node:url";
import type { ModelRecord, RegistryCallOptions } from "../registry/contract.ts";
import { ModelDigestError } from "../registry/errors.ts";

/**
 * Reads the file at a model's source, a path or a `file:` URL, and compares its SHA-256 with the registered one. Without
 * a digest there is nothing to compare. Fits `followRegistry` as its `check`.
 *
 * @throws ModelDigestError; what the file system does; the signal's reason.
 */
export async function checkModelFile(
  { key, entry: { source } }: ModelRecord,
  { signal }: RegistryCallOptions = {},
): Promise<void> {
  if (source?.sha256 === undefined) return;
  const { location, sha256 } = source;
  const path = location.startsWith("file:") ? fileURLToPath(location) : location;
  const hash = createHash("sha256");
  try {
    await pipeline(createReadStream(path), hash, signal === undefined ? {} : { signal });
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  }
  const found = hash.digest("hex");
  if (found !== sha256) throw new ModelDigestError(key, sha256, found);
}
