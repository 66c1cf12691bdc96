// Pictures that have been made: the same job again needs no model.
import { createHash } from "node:crypto";
import type { Cache } from "@holdfast/cache";
import { createCache } from "@holdfast/cache";
import type { Clock } from "@holdfast/core";
import { MAX_PREDICTION_BYTES } from "../limits.ts";
import type { Job } from "./operation.ts";

/**
 * PNGs by what they were made from. Filled by hand and not by a loader: a task that makes a picture can be cancelled,
 * and reports its own progress.
 */
export type Predictions = Cache<string, Uint8Array>;

export function predictionCache(clock: Clock): Predictions {
  return createCache<string, Uint8Array>({
    name: "predictions",
    ttl: "1h",
    maxBytes: MAX_PREDICTION_BYTES,
    sizeOf: ({ byteLength }) => byteLength,
    clock,
  });
}

/** The same for the same model, parameters and bytes, and for no other. */
export function predictionKey(model: { readonly name: string; readonly version: string }, job: Job): string {
  const { upload, ...parameters } = { upload: undefined, ...job };
  const hash = createHash("sha256").update(
    JSON.stringify([model.name, model.version, parameters, upload?.type]),
  );
  if (upload !== undefined) hash.update(upload.bytes);
  return hash.digest("base64url");
}
