// Pictures to send: drawn here, so that the scenario needs no file.
import jpeg from "jpeg-js";
import { seededRandom } from "@holdfast/core";
import { toPng } from "../image/codec.ts";
import type { Raster } from "../image/raster.ts";
import { blank } from "../image/raster.ts";

/** Discs over a gradient, with as much noise as asked for, in grey levels. */
export function drawn(width: number, height: number, noise: number): Raster {
  const image = blank(width, height);
  const random = seededRandom(7);
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) {
      const disc = Math.hypot(x - width * 0.62, y - height * 0.42) < height * 0.28;
      const ring = Math.abs(Math.hypot(x - width * 0.3, y - height * 0.62) - height * 0.2) < height * 0.03;
      const at = (y * width + x) * 4;
      const grain = (random() - 0.5) * 2 * noise;
      image.data[at] = (disc ? 238 : ring ? 250 : 40 + (90 * x) / width) + grain;
      image.data[at + 1] = (disc ? 120 : ring ? 240 : 70 + (80 * y) / height) + grain;
      image.data[at + 2] = (disc ? 70 : ring ? 225 : 150) + grain;
    }
  }
  return image;
}

export function asPng(image: Raster): Uint8Array {
  return toPng(image);
}

export function asJpeg({ width, height, data }: Raster): Uint8Array {
  const { buffer, byteOffset, byteLength } = data;
  return jpeg.encode({ width, height, data: new Uint8Array(buffer, byteOffset, byteLength) }, 92).data;
}

/** The first bytes of a PNG that claims to be 60,000 pixels wide and high. */
export function bomb(): Uint8Array {
  const bytes = asPng(blank(1, 1));
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  view.setUint32(16, 60_000);
  view.setUint32(20, 60_000);
  return bytes;
}
