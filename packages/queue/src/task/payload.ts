// Inputs and results as stores keep them: JSON text, and bytes beside it.
import { PayloadTooLargeError, UnserializableError } from "../errors.ts";

/** A value in a form that every store can hold. */
export interface Payload {
  /** JSON; empty for `undefined`. */
  readonly text: string;
  /** The `Uint8Array`s of the value, which the text refers to by position. */
  readonly blobs: readonly Uint8Array[];
}

/** Stands in the text for a blob: `{"$blob":0}`. A value's own key of this name gets one more `$`. */
const BLOB_KEY = "$blob";
const OWN_KEY = /^\$+blob$/;
const NO_BLOBS: readonly Uint8Array[] = [];
/** Deeper values are left to `JSON.stringify`, which finds cycles. */
const MAX_DEPTH = 32;

/**
 * Encodes a value: JSON, but `Uint8Array`s (`Buffer`s too) keep their bytes. They are copied: what the caller writes
 * into them later changes nothing.
 *
 * @throws UnserializableError for what JSON cannot say (functions, cycles, bigint).
 * @throws PayloadTooLargeError beyond `maxBytes`, counted in UTF-8.
 *
 * @example
 * ```ts
 * import { decodePayload, encodePayload } from "@holdfast/queue";
 *
 * const payload = encodePayload({ name: "cat.png", bytes: new Uint8Array([1, 2]) }, 1_000);
 * payload.text; // => '{"name":"cat.png","bytes":{"$blob":0}}'
 * decodePayload(payload); // => { name: "cat.png", bytes: new Uint8Array([1, 2]) }
 * ```
 */
export function encodePayload(value: unknown, maxBytes: number): Payload {
  if (value === undefined) return { text: "", blobs: NO_BLOBS };
  const encoded = (isPlain(value, 0) ? plainPayload(value) : undefined) ?? codedPayload(value);
  checkPayloadSize(encoded, maxBytes);
  return encoded;
}

/** The value that was encoded, in copies of its own. `__proto__` in the text is an ordinary key. */
export function decodePayload({ text, blobs }: Payload): unknown {
  if (text === "") return undefined;
  if (!text.includes(`${BLOB_KEY}"`)) return JSON.parse(text) as unknown;
  return JSON.parse(text, (_, shown: unknown) => {
    if (!hasBlobKey(shown)) return shown;
    const index = shown[BLOB_KEY];
    return typeof index === "number" ? blobs[index]?.slice() : renamed(shown, (name) => name.slice(1));
  }) as unknown;
}

/** @throws PayloadTooLargeError beyond `maxBytes`, counted in UTF-8. */
export function checkPayloadSize({ text, blobs }: Payload, maxBytes: number): void {
  let bytes = text.length;
  for (const blob of blobs) bytes += blob.byteLength;
  // UTF-8 has at most 3 bytes for each UTF-16 unit: most payloads need not be counted out.
  if (bytes + 2 * text.length <= maxBytes) return;
  bytes += new TextEncoder().encode(text).byteLength - text.length;
  if (bytes > maxBytes) throw new PayloadTooLargeError(bytes, maxBytes);
}

/** Whether `JSON.stringify` alone does: true of most payloads, and several times faster than with a replacer. */
function isPlain(value: unknown, depth: number): boolean {
  if (typeof value !== "object" || value === null) return true;
  if (depth > MAX_DEPTH || ArrayBuffer.isView(value) || value instanceof ArrayBuffer) return false;
  if (Array.isArray(value)) return value.every((item) => isPlain(item, depth + 1));
  // What it says of itself may hold bytes.
  if ("toJSON" in value) return value instanceof Date;
  for (const key in value) if (!isPlain((value as Record<string, unknown>)[key], depth + 1)) return false;
  return true;
}

function plainPayload(value: unknown): Payload | undefined {
  const text = stringify(value);
  return text.includes(`${BLOB_KEY}"`) ? undefined : { text, blobs: NO_BLOBS };
}

function codedPayload(value: unknown): Payload {
  const blobs: Uint8Array[] = [];
  const text = stringify(value, function (this: unknown, key: string, shown: unknown) {
    // A Buffer has a toJSON of its own, which has run by now: look at the original.
    const original = (this as Record<string, unknown>)[key];
    const bytes = original instanceof Uint8Array ? original : shown;
    if (bytes instanceof Uint8Array) {
      blobs.push(Uint8Array.from(bytes));
      return { [BLOB_KEY]: blobs.length - 1 };
    }
    if (ArrayBuffer.isView(bytes) || bytes instanceof ArrayBuffer)
      throw new UnserializableError("of binary data, only a Uint8Array can be stored");
    return hasBlobKey(shown) ? renamed(shown, (name) => `$${name}`) : shown;
  });
  return { text, blobs };
}

function stringify(
  value: unknown,
  replacer?: (this: unknown, key: string, value: unknown) => unknown,
): string {
  let text: string | undefined;
  try {
    text = JSON.stringify(value, replacer);
  } catch (error) {
    if (error instanceof UnserializableError) throw error;
    throw new UnserializableError("it cannot be written as JSON", { cause: error });
  }
  if (text === undefined) throw new UnserializableError("a function or a symbol cannot be written as JSON");
  return text;
}

function hasBlobKey(value: unknown): value is Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return false;
  return Object.keys(value).some((key) => OWN_KEY.test(key));
}

function renamed(value: Record<string, unknown>, rename: (name: string) => string): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [OWN_KEY.test(key) ? rename(key) : key, inner]),
  );
}
