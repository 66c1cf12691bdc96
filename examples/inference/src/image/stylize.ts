// Styles: an oil painting by the Kuwahara filter, or ink lines by convolution over flat colours.
import type { Checkpoint, Raster } from "./raster.ts";
import { blank, byRows, clampIndex, luminance } from "./raster.ts";

export type Style = "oil" | "ink";

/** Side of the four windows around each pixel that the oil style chooses from. */
const BRUSH = 6;
/** Levels per channel that the ink style leaves. */
const TONES = 5;

/** Repaints an image in a style. */
export async function stylize(image: Raster, style: Style, checkpoint: Checkpoint): Promise<Raster> {
  const result = blank(image.width, image.height);
  const grey = luminance(image);
  const paint = style === "oil" ? oil : ink;
  await byRows(image.height, checkpoint, (y) => {
    for (let x = 0; x < image.width; x += 1) paint(image, grey, x, y, result.data);
  });
  return result;
}

/** The mean of the calmest of four windows that touch the pixel (Kuwahara et al., 1976): flat strokes, sharp edges. */
function oil(
  { width, height, data }: Raster,
  grey: Float32Array,
  x: number,
  y: number,
  into: Uint8ClampedArray,
): void {
  let calmest = Infinity;
  const at = (y * width + x) * 4;
  for (const [stepX, stepY] of QUADRANTS) {
    let sum = 0;
    let squares = 0;
    let red = 0;
    let green = 0;
    let blue = 0;
    for (let dy = 0; dy < BRUSH; dy += 1) {
      const row = clampIndex(y + dy * stepY, height) * width;
      for (let dx = 0; dx < BRUSH; dx += 1) {
        const pixel = row + clampIndex(x + dx * stepX, width);
        const value = grey[pixel]!;
        sum += value;
        squares += value * value;
        red += data[pixel * 4]!;
        green += data[pixel * 4 + 1]!;
        blue += data[pixel * 4 + 2]!;
      }
    }
    const count = BRUSH * BRUSH;
    const variance = squares / count - (sum / count) ** 2;
    if (variance >= calmest) continue;
    calmest = variance;
    into[at] = red / count;
    into[at + 1] = green / count;
    into[at + 2] = blue / count;
    into[at + 3] = data[at + 3]!;
  }
}

const QUADRANTS: readonly (readonly [number, number])[] = [
  [-1, -1],
  [1, -1],
  [-1, 1],
  [1, 1],
];

/** Few tones, darkened where the Sobel operator finds an edge. */
function ink(
  { width, height, data }: Raster,
  grey: Float32Array,
  x: number,
  y: number,
  into: Uint8ClampedArray,
): void {
  let across = 0;
  let down = 0;
  for (let dy = -1; dy <= 1; dy += 1) {
    for (let dx = -1; dx <= 1; dx += 1) {
      const value = grey[clampIndex(y + dy, height) * width + clampIndex(x + dx, width)]!;
      across += value * dx * (dy === 0 ? 2 : 1);
      down += value * dy * (dx === 0 ? 2 : 1);
    }
  }
  const line = Math.max(0, 1 - Math.hypot(across, down) / 220);
  const at = (y * width + x) * 4;
  for (let channel = 0; channel < 3; channel += 1) {
    const tone = Math.round((data[at + channel]! / 255) * TONES) / TONES;
    into[at + channel] = tone * 255 * line;
  }
  into[at + 3] = data[at + 3]!;
}
