// Large payloads kept outside the queue's store: what stays is a key, a length and a digest.
import type { Clock, Duration } from "@holdfast/core";
import { optionsOf, systemClock } from "@holdfast/core";
import type { BlobStore } from "./blob-store.ts";
import { callBlobs } from "./blob-store.ts";
import { envelope, fieldsOf, isEnvelope } from "./envelope.ts";
import { PayloadLostError, PayloadTamperedError } from "./errors.ts";
import { bytesPayload, payloadBytes } from "./payload-bytes.ts";
import type { PayloadCodec, PayloadPlace } from "./payload-codec.ts";

export interface OffloadedOptions {
  readonly store: BlobStore;
  /** Smaller payloads stay in the queue's store, in bytes. @defaultValue 65_536 */
  readonly above?: number;
  /** Largest value, in bytes. @defaultValue 67_108_864 (64 MiB) */
  readonly maxBytes?: number;
  /** How long a call to the store may take. @defaultValue "30s" */
  readonly deadline?: Duration;
  /** @defaultValue systemClock */
  readonly clock?: Clock;
}

const WORD = "$offloaded";
/** Random bytes of a key: what cannot be guessed cannot be put there before us. */
const RANDOM = 16;

/**
 * Puts large payloads into a store of blobs: before the task is added, so that whoever claims it finds them. Put it after
 * `encrypted()` if the blobs are to be encrypted.
 *
 * A blob belongs to its task and is of no use once that is forgotten. Nothing is deleted on the way: {@link sweepBlobs}
 * does it, or a rule of the bucket by age: the longest that a task may wait, run and be kept.
 *
 * @throws InvalidOptionError when an option is out of range. Reading throws a {@link PayloadLostError} or
 * {@link PayloadTamperedError}, which make a task fail for good, or a `StoreUnavailableError`, which fails a try.
 */
export function offloaded(options: OffloadedOptions): PayloadCodec {
  const check = optionsOf("offloaded");
  const store = check.object("store", options.store);
  const above = check.integer("above", options.above, { min: 0 }, 65_536);
  const maxBytes = check.integer("maxBytes", options.maxBytes, { min: 1 }, 67_108_864);
  const deadlineMs = check.duration("deadline", options.deadline, { min: 1 }, 30_000);
  const clock = options.clock ?? systemClock;
  return {
    name: "offloaded",
    maxBytes,
    encode: async (payload, place, signal) => {
      const bytes = payloadBytes(payload);
      if (bytes.byteLength <= above && !isEnvelope(WORD, payload)) return payload;
      const key = newKey(place);
      const digest = await digestOf(bytes);
      await callBlobs((call) => store.put(key, bytes, call), deadlineMs, clock, signal);
      return envelope(WORD, [key, bytes.byteLength, digest], []);
    },
    decode: async (payload, place, signal) => {
      const fields = fieldsOf(WORD, payload);
      if (fields === undefined) return payload;
      const [key, length, digest] = fields;
      if (typeof key !== "string" || !key.startsWith(keyPrefix(place)))
        throw new PayloadTamperedError(place, "it points to the blob of another");
      const bytes = await callBlobs((call) => store.get(key, call), deadlineMs, clock, signal);
      if (bytes === undefined) throw new PayloadLostError(place, key);
      if (bytes.byteLength !== length || (await digestOf(bytes)) !== digest)
        throw new PayloadTamperedError(place, "the blob is another");
      const inner = bytesPayload(bytes);
      if (inner === undefined) throw new PayloadTamperedError(place, "the blob is no payload");
      return inner;
    },
  };
}

/** The ID of the task that a key is of; `undefined` when it is not one of ours. */
export function taskOfKey(queue: string, key: string): string | undefined {
  return key.startsWith(`${queue}/`)
    ? /^([\w.:-]+)\/[a-z]+-[\da-f]+$/.exec(key.slice(queue.length + 1))?.[1]
    : undefined;
}

function keyPrefix({ queue, id, part }: PayloadPlace): string {
  return `${queue}/${id}/${part}-`;
}

function newKey(place: PayloadPlace): string {
  return keyPrefix(place) + hex(crypto.getRandomValues(new Uint8Array(RANDOM)));
}

async function digestOf(bytes: Uint8Array): Promise<string> {
  return hex(new Uint8Array(await crypto.subtle.digest("SHA-256", new Uint8Array(bytes))));
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
