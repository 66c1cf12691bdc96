// Bytes to pixels and back: PNG by fast-png, JPEG by jpeg-js.
import { decode as decodePng, encode as encodePng } from "fast-png";
import jpeg from "jpeg-js";
import { MAX_PIXELS } from "../limits.ts";
import { BrokenImageError } from "./broken-image.ts";
import type { ImageHeader } from "./header.ts";
import { guardJpeg } from "./jpeg-guard.ts";
import { guardPng } from "./png-guard.ts";
import type { Raster } from "./raster.ts";

/** What a decoder may take for itself, in megabytes. */
const DECODER_MEMORY_MB = 256;

/**
 * The pixels of a PNG or JPEG.
 *
 * @throws BrokenImageError when the bytes are no such picture, or not a whole one.
 */
export function decode(bytes: Uint8Array, type: ImageHeader["type"]): Raster {
  try {
    return type === "image/png" ? fromPng(guardPng(bytes)) : fromJpeg(bytes);
  } catch (error) {
    if (error instanceof BrokenImageError) throw error;
    throw new BrokenImageError(error instanceof Error ? error.message : String(error), { cause: error });
  }
}

/** An image as PNG. */
export function toPng({ width, height, data }: Raster): Uint8Array {
  return encodePng({
    width,
    height,
    data: new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
    channels: 4,
  });
}

function fromPng(bytes: Uint8Array): Raster {
  const { width, height, data, channels, depth, palette } = decodePng(bytes, { checkCrc: true });
  const rgba = new Uint8ClampedArray(width * height * 4);
  const shift = depth === 16 ? 8 : 0;
  const scale = depth < 8 && palette === undefined ? 255 / (2 ** depth - 1) : 1;
  const samples = depth < 8 ? unpack(data as Uint8Array, width, height, depth) : data;
  for (let pixel = 0; pixel < width * height; pixel += 1) {
    const to = pixel * 4;
    if (palette !== undefined) {
      const colour = palette[samples[pixel]!] ?? [0, 0, 0];
      rgba.set([colour[0]!, colour[1]!, colour[2]!, colour[3] ?? 255], to);
      continue;
    }
    const sample = (channel: number): number => (samples[pixel * channels + channel]! >> shift) * scale;
    const grey = channels < 3;
    rgba[to] = sample(0);
    rgba[to + 1] = sample(grey ? 0 : 1);
    rgba[to + 2] = sample(grey ? 0 : 2);
    rgba[to + 3] = channels % 2 === 0 ? sample(channels - 1) : 255;
  }
  return { width, height, data: rgba };
}

/** Samples of less than a byte, packed into rows that each begin with a byte. */
function unpack(data: Uint8Array, width: number, height: number, depth: number): Uint8Array {
  const perByte = 8 / depth;
  const rowBytes = Math.ceil(width / perByte);
  const samples = new Uint8Array(width * height);
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) {
      const byte = data[y * rowBytes + Math.floor(x / perByte)]!;
      samples[y * width + x] = (byte >> (8 - depth * ((x % perByte) + 1))) & (2 ** depth - 1);
    }
  }
  return samples;
}

function fromJpeg(bytes: Uint8Array): Raster {
  guardJpeg(bytes);
  const { width, height, data } = jpeg.decode(bytes, {
    useTArray: true,
    formatAsRGBA: true,
    tolerantDecoding: false,
    maxResolutionInMP: MAX_PIXELS / 1_000_000,
    maxMemoryUsageInMB: DECODER_MEMORY_MB,
  });
  return { width, height, data: new Uint8ClampedArray(data.buffer, data.byteOffset, data.byteLength) };
}
