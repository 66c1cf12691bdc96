// Upscaling: Lanczos resampling with three lobes, first along rows, then along columns.
import type { Checkpoint, Raster } from "./raster.ts";
import { blank, byRows, clampIndex } from "./raster.ts";

const LOBES = 3;

/** Enlarges an image by a whole factor (Duchon, "Lanczos Filtering in One and Two Dimensions", 1979). */
export async function upscale(image: Raster, factor: number, checkpoint: Checkpoint): Promise<Raster> {
  const wide = await stretchRows(image, factor, checkpoint);
  return stretchColumns(wide, image, factor, checkpoint);
}

async function stretchRows(image: Raster, factor: number, checkpoint: Checkpoint): Promise<Float32Array> {
  const width = image.width * factor;
  const wide = new Float32Array(width * image.height * 4);
  const taps = tapsFor(image.width, factor);
  const row = (y: number): void => {
    for (let x = 0; x < width; x += 1) {
      const { first, weights } = taps[x]!;
      const to = (y * width + x) * 4;
      for (let tap = 0; tap < weights.length; tap += 1) {
        const from = (y * image.width + clampIndex(first + tap, image.width)) * 4;
        for (let channel = 0; channel < 4; channel += 1)
          wide[to + channel]! += image.data[from + channel]! * weights[tap]!;
      }
    }
  };
  await byRows(image.height, checkpoint, row, 0, 1 / (1 + factor));
  return wide;
}

async function stretchColumns(
  wide: Float32Array,
  image: Raster,
  factor: number,
  checkpoint: Checkpoint,
): Promise<Raster> {
  const result = blank(image.width * factor, image.height * factor);
  const taps = tapsFor(image.height, factor);
  const rowLength = result.width * 4;
  const sums = new Float32Array(rowLength);
  const row = (y: number): void => {
    const { first, weights } = taps[y]!;
    sums.fill(0);
    for (let tap = 0; tap < weights.length; tap += 1) {
      const from = clampIndex(first + tap, image.height) * rowLength;
      const weight = weights[tap]!;
      for (let at = 0; at < rowLength; at += 1) sums[at]! += wide[from + at]! * weight;
    }
    result.data.set(sums, y * rowLength);
  };
  await byRows(result.height, checkpoint, row, 1 / (1 + factor), 1);
  return result;
}

interface Taps {
  /** Source index of the first weight. */
  readonly first: number;
  readonly weights: readonly number[];
}

/** For every target position, which source pixels it is made of. */
function tapsFor(length: number, factor: number): readonly Taps[] {
  return Array.from({ length: length * factor }, (_, position) => {
    const centre = (position + 0.5) / factor - 0.5;
    const first = Math.floor(centre) - LOBES + 1;
    const raw = Array.from({ length: LOBES * 2 }, (__, tap) => lanczos(first + tap - centre));
    const sum = raw.reduce((total, weight) => total + weight, 0);
    return { first, weights: raw.map((weight) => weight / sum) };
  });
}

function lanczos(x: number): number {
  if (x === 0) return 1;
  if (Math.abs(x) >= LOBES) return 0;
  const angle = Math.PI * x;
  return (LOBES * Math.sin(angle) * Math.sin(angle / LOBES)) / (angle * angle);
}
