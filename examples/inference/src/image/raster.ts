// Pixels in memory.

/** An image: 8-bit RGBA, row by row from the top. */
export interface Raster {
  readonly width: number;
  readonly height: number;
  /** `width × height × 4` bytes. */
  readonly data: Uint8ClampedArray;
}

/**
 * Called by long work between bands of rows: reports the share done (0 to 1), lets messages in, and throws when
 * the work has been cancelled.
 */
export type Checkpoint = (done: number) => Promise<void>;

/** Rows worked on between two checkpoints. */
const BAND_ROWS = 16;

/** An opaque black image. */
export function blank(width: number, height: number): Raster {
  const data = new Uint8ClampedArray(width * height * 4);
  for (let at = 3; at < data.length; at += 4) data[at] = 255;
  return { width, height, data };
}

/** Runs `row` for every row, in bands, with a checkpoint after each; progress runs from `from` to `to`. */
export async function byRows(
  height: number,
  checkpoint: Checkpoint,
  row: (y: number) => void,
  from = 0,
  to = 1,
): Promise<void> {
  for (let y = 0; y < height;) {
    const end = Math.min(height, y + BAND_ROWS);
    for (; y < end; y += 1) row(y);
    await checkpoint(from + (to - from) * (y / height));
  }
}

/** Perceived brightness of every pixel (Rec. 709), 0 to 255. */
export function luminance({ data, width, height }: Raster): Float32Array {
  const grey = new Float32Array(width * height);
  for (let pixel = 0; pixel < grey.length; pixel += 1) {
    const at = pixel * 4;
    grey[pixel] = 0.2126 * data[at]! + 0.7152 * data[at + 1]! + 0.0722 * data[at + 2]!;
  }
  return grey;
}

/** `value`, held within 0 and `limit - 1`: beyond an edge the edge goes on. */
export function clampIndex(value: number, limit: number): number {
  return value < 0 ? 0 : value >= limit ? limit - 1 : value;
}
