// A PNG from a stranger, made harmless before it is decoded: a few kilobytes can inflate to gigabytes.
import { inflateSync } from "node:zlib";
import { BrokenImageError } from "./broken-image.ts";

/** What the pixels are made of. Everything else (profiles, texts, dates) is dropped: it may be compressed too. */
const KEPT = new Set(["IHDR", "PLTE", "tRNS", "IDAT", "IEND"]);

/** Samples per pixel of each colour type (PNG specification, §11.2.1). */
const SAMPLES: Readonly<Record<number, number>> = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 };

const SIGNATURE_BYTES = 8;
/** Length, type and checksum of a chunk. */
const CHUNK_OVERHEAD = 12;

/**
 * The same picture with nothing but its pixels, known to inflate to exactly what its header declares.
 *
 * @throws BrokenImageError when it is cut short, or inflates to anything else.
 */
export function guardPng(bytes: Uint8Array): Uint8Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const kept: Uint8Array[] = [bytes.subarray(0, SIGNATURE_BYTES)];
  const pixels: Uint8Array[] = [];
  let hasEnded = false;
  for (let at = SIGNATURE_BYTES; !hasEnded;) {
    if (at + CHUNK_OVERHEAD > bytes.length) throw new BrokenImageError("the PNG ends in the middle");
    const length = view.getUint32(at);
    const end = at + CHUNK_OVERHEAD + length;
    if (end > bytes.length) throw new BrokenImageError("the PNG ends in the middle");
    const type = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    if (KEPT.has(type)) kept.push(bytes.subarray(at, end));
    if (type === "IDAT") pixels.push(bytes.subarray(at + 8, end - 4));
    hasEnded = type === "IEND";
    at = end;
  }
  checkPixels(view, Buffer.concat(pixels));
  return Buffer.concat(kept);
}

function checkPixels(view: DataView, compressed: Uint8Array): void {
  const expected = inflatedBytes(view);
  let actual: number;
  try {
    actual = inflateSync(compressed, { maxOutputLength: expected }).byteLength;
  } catch (error) {
    throw new BrokenImageError("the pixels of the PNG cannot be read", { cause: error });
  }
  if (actual !== expected) throw new BrokenImageError("the PNG has fewer pixels than it declares");
}

/** Bytes of all rows, each with one for its filter; an interlaced picture has the rows of seven smaller ones. */
function inflatedBytes(view: DataView): number {
  const width = view.getUint32(16);
  const height = view.getUint32(20);
  const samples = SAMPLES[view.getUint8(25)];
  if (samples === undefined) throw new BrokenImageError("the PNG has an unknown colour type");
  const bits = view.getUint8(24) * samples;
  const pass = (columns: number, rows: number): number =>
    columns === 0 ? 0 : rows * (1 + Math.ceil((columns * bits) / 8));
  if (view.getUint8(28) === 0) return pass(width, height);
  return ADAM7.reduce(
    (sum, [x, y, stepX, stepY]) =>
      sum + pass(Math.ceil(Math.max(0, width - x) / stepX), Math.ceil(Math.max(0, height - y) / stepY)),
    0,
  );
}

/** First column and row of each pass, and the steps between them (PNG specification, §8.2). */
const ADAM7: readonly (readonly [number, number, number, number])[] = [
  [0, 0, 8, 8],
  [4, 0, 8, 8],
  [0, 4, 4, 8],
  [2, 0, 4, 4],
  [0, 2, 2, 4],
  [1, 0, 2, 2],
  [0, 1, 1, 2],
];
