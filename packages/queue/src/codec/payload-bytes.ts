// A payload as one run of bytes: a count, the lengths, the text in UTF-8, the blobs.
import type { Payload } from "../task/payload.ts";

/** Bytes of a length, most significant first. */
const WORD = 4;
const MAX_BLOBS = 1_000_000;

/** The payload as bytes, with room left in front of them. */
export function payloadBytes({ text, blobs }: Payload, room: number = 0): Uint8Array<ArrayBuffer> {
  const parts = [new TextEncoder().encode(text), ...blobs];
  const head = WORD * (parts.length + 1);
  const bytes = new Uint8Array(room + head + parts.reduce((sum, part) => sum + part.byteLength, 0));
  const view = new DataView(bytes.buffer, room);
  view.setUint32(0, parts.length);
  let at = room + head;
  for (const [index, part] of parts.entries()) {
    view.setUint32(WORD * (index + 1), part.byteLength);
    bytes.set(part, at);
    at += part.byteLength;
  }
  return bytes;
}

/** The payload that the bytes are of; `undefined` when they are of none. */
export function bytesPayload(given: Uint8Array): Payload | undefined {
  // A slice of a Buffer would be a view of it.
  const bytes = new Uint8Array(given.buffer, given.byteOffset, given.byteLength);
  if (bytes.byteLength < 2 * WORD) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const count = view.getUint32(0);
  let at = WORD * (count + 1);
  if (count === 0 || count > MAX_BLOBS || at > bytes.byteLength) return undefined;
  const parts: Uint8Array[] = [];
  for (let index = 1; index <= count; index += 1) {
    const length = view.getUint32(WORD * index);
    parts.push(bytes.slice(at, at + length));
    at += length;
  }
  if (at !== bytes.byteLength) return undefined;
  const [text, ...blobs] = parts;
  try {
    return { text: new TextDecoder("utf-8", { fatal: true }).decode(text), blobs };
  } catch {
    return undefined;
  }
}
