// Denoising: non-local means (Buades, Coll & Morel, CVPR 2005).
import type { Checkpoint, Raster } from "./raster.ts";
import { blank, byRows, clampIndex, luminance } from "./raster.ts";

/** How far around a pixel similar places are looked for. */
const SEARCH = 4;
/** Half the side of the patches that are compared. */
const PATCH = 1;

/**
 * Replaces each pixel by the mean of pixels nearby whose surroundings look alike.
 *
 * @param strength - Grey levels of noise to remove, about 5 to 40.
 */
export async function denoise(image: Raster, strength: number, checkpoint: Checkpoint): Promise<Raster> {
  const result = blank(image.width, image.height);
  const grey = luminance(image);
  const falloff = 1 / (strength * strength * (2 * PATCH + 1) ** 2);
  await byRows(image.height, checkpoint, (y) => {
    for (let x = 0; x < image.width; x += 1) average(image, grey, x, y, falloff, result.data);
  });
  return result;
}

function average(
  image: Raster,
  grey: Float32Array,
  x: number,
  y: number,
  falloff: number,
  into: Uint8ClampedArray,
): void {
  const { width, height, data } = image;
  let red = 0;
  let green = 0;
  let blue = 0;
  let total = 0;
  for (let otherY = Math.max(0, y - SEARCH); otherY <= Math.min(height - 1, y + SEARCH); otherY += 1) {
    for (let otherX = Math.max(0, x - SEARCH); otherX <= Math.min(width - 1, x + SEARCH); otherX += 1) {
      const weight = Math.exp(-difference(grey, width, height, x, y, otherX, otherY) * falloff);
      const at = (otherY * width + otherX) * 4;
      red += data[at]! * weight;
      green += data[at + 1]! * weight;
      blue += data[at + 2]! * weight;
      total += weight;
    }
  }
  const at = (y * width + x) * 4;
  into[at] = red / total;
  into[at + 1] = green / total;
  into[at + 2] = blue / total;
  into[at + 3] = data[at + 3]!;
}

/** Summed squared difference of the patches around two pixels. */
function difference(
  grey: Float32Array,
  width: number,
  height: number,
  x: number,
  y: number,
  otherX: number,
  otherY: number,
): number {
  let sum = 0;
  for (let dy = -PATCH; dy <= PATCH; dy += 1) {
    const row = clampIndex(y + dy, height) * width;
    const otherRow = clampIndex(otherY + dy, height) * width;
    for (let dx = -PATCH; dx <= PATCH; dx += 1) {
      const delta = grey[row + clampIndex(x + dx, width)]! - grey[otherRow + clampIndex(otherX + dx, width)]!;
      sum += delta * delta;
    }
  }
  return sum;
}
