// How a codec marks what it has made: the text is a JSON array that begins with the codec's own word.
import type { Payload } from "../task/payload.ts";

const OFFLOADED = /^\["\$offloaded","[^"]+",\d+,"[\da-f]{64}"\]$/;

/** What a codec puts in place of a payload. */
export function envelope(
  word: string,
  fields: readonly (string | number)[],
  blobs: readonly Uint8Array[],
): Payload {
  return { text: JSON.stringify([word, ...fields]), blobs };
}

/**
 * Whether the text reads like an envelope of this word. A value of a user's may do so too: a codec that leaves some
 * payloads as they are must never leave such a one.
 */
export function isEnvelope(word: string, { text }: Payload): boolean {
  return text.startsWith(`["${word}"`);
}

/** The fields of an envelope; `undefined` when it is none. */
export function fieldsOf(word: string, payload: Payload): readonly unknown[] | undefined {
  if (!isEnvelope(word, payload)) return undefined;
  try {
    return (JSON.parse(payload.text) as readonly unknown[]).slice(1);
  } catch {
    return undefined;
  }
}

/**
 * Whether a codec of ours has made the payload. No value of a user's has bytes that its text does not refer to; one that is
 * offloaded is told by its digest.
 */
export function isSealed({ text, blobs }: Payload): boolean {
  if (!text.startsWith('["$')) return false;
  return blobs.length > 0 ? !text.includes('{"$blob":') : OFFLOADED.test(text);
}
