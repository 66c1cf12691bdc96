import { describe, expect, it } from "vitest";
import { BrokenImageError } from "../src/image/broken-image.ts";
import { decode, toPng } from "../src/image/codec.ts";
import { denoise } from "../src/image/denoise.ts";
import { readImageHeader } from "../src/image/header.ts";
import type { Raster } from "../src/image/raster.ts";
import { blank } from "../src/image/raster.ts";
import { stylize } from "../src/image/stylize.ts";
import { upscale } from "../src/image/upscale.ts";
import { renderPrompt } from "../src/render/landscape.ts";
import { asJpeg, asPng, bomb, drawn } from "../src/scenario/pictures.ts";

const goOn = async (): Promise<void> => {};

/** Root of the mean squared difference of two pictures, in levels. */
function difference(one: Raster, other: Raster): number {
  let sum = 0;
  for (const [at, value] of one.data.entries()) sum += (value - other.data[at]!) ** 2;
  return Math.sqrt(sum / one.data.length);
}

describe("a PNG", () => {
  it("comes back as it went in", () => {
    const image = drawn(37, 23, 20);
    expect(difference(decode(toPng(image), "image/png"), image)).toBe(0);
  });

  it("is refused wherever it is cut", () => {
    const bytes = asPng(drawn(24, 16, 10));
    for (let length = 33; length < bytes.length; length += 1)
      expect(() => decode(bytes.subarray(0, length), "image/png"), `cut at ${length}`).toThrow(
        BrokenImageError,
      );
  });

  it("is refused when it declares fewer or more pixels than it has", () => {
    const bytes = asPng(drawn(24, 16, 10));
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    for (const width of [23, 25, 60_000]) {
      view.setUint32(16, width);
      expect(() => decode(bytes, "image/png"), String(width)).toThrow(BrokenImageError);
    }
    expect(readImageHeader(bomb())).toEqual({ type: "image/png", width: 60_000, height: 60_000 });
  });
});

describe("a JPEG", () => {
  it("comes back almost as it went in", () => {
    const image = drawn(64, 48, 0);
    const bytes = asJpeg(image);
    expect(readImageHeader(bytes)).toEqual({ type: "image/jpeg", width: 64, height: 48 });
    expect(difference(decode(bytes, "image/jpeg"), image)).toBeLessThan(6);
  });

  it("is refused wherever it is cut", () => {
    const bytes = asJpeg(drawn(24, 16, 10));
    for (let length = 4; length < bytes.length - 1; length += 1)
      expect(() => decode(bytes.subarray(0, length), "image/jpeg"), `cut at ${length}`).toThrow(
        BrokenImageError,
      );
  });
});

describe("the operations", () => {
  it("denoise: a noisy picture is closer to the clean one afterwards", async () => {
    const clean = drawn(96, 64, 0);
    const noisy = drawn(96, 64, 30);
    const better = await denoise(noisy, 25, goOn);
    expect(difference(better, clean)).toBeLessThan(difference(noisy, clean) / 2);
  });

  it("upscale: as large as asked for, and the same when it is made small again", async () => {
    const small = drawn(40, 30, 0);
    const large = await upscale(small, 3, goOn);
    expect([large.width, large.height]).toEqual([120, 90]);
    const again = blank(40, 30);
    for (let y = 0; y < 30; y += 1)
      for (let x = 0; x < 40; x += 1)
        for (let channel = 0; channel < 4; channel += 1)
          again.data[(y * 40 + x) * 4 + channel] = large.data[((3 * y + 1) * 120 + 3 * x + 1) * 4 + channel]!;
    expect(difference(again, small)).toBeLessThan(5);
  });

  it("stylize: a picture of the same size, its own for each style", async () => {
    const image = drawn(60, 40, 0);
    const [oil, ink] = [await stylize(image, "oil", goOn), await stylize(image, "ink", goOn)];
    for (const { width, height } of [oil, ink]) expect([width, height]).toEqual([60, 40]);
    expect(difference(oil, image)).toBeGreaterThan(0);
    expect(difference(ink, oil)).toBeGreaterThan(10);
  });

  it("render: the same prompt makes the same picture, another prompt another one", async () => {
    const lake = await renderPrompt("a lake", 48, 32, goOn);
    expect(difference(await renderPrompt("a lake", 48, 32, goOn), lake)).toBe(0);
    expect(difference(await renderPrompt("a desert at night", 48, 32, goOn), lake)).toBeGreaterThan(5);
  });

  const image = drawn(64, 64, 10);
  for (const [name, work] of Object.entries({
    denoise: (checkpoint: () => Promise<void>) => denoise(image, 15, checkpoint),
    upscale: (checkpoint: () => Promise<void>) => upscale(image, 2, checkpoint),
    oil: (checkpoint: () => Promise<void>) => stylize(image, "oil", checkpoint),
    ink: (checkpoint: () => Promise<void>) => stylize(image, "ink", checkpoint),
    render: (checkpoint: () => Promise<void>) => renderPrompt("a lake", 64, 64, checkpoint),
  }))
    it(`${name}: reports progress that only grows, and stops where it is told to`, async () => {
      const shares: number[] = [];
      await work((async (done: number) => void shares.push(done)) as () => Promise<void>);
      expect(shares.at(-1)).toBeCloseTo(1);
      expect(shares).toEqual([...shares].sort((a, b) => a - b));
      let calls = 0;
      const stopped = work(async () => {
        calls += 1;
        if (calls === 2) throw new Error("told to stop");
      });
      await expect(stopped).rejects.toThrow("told to stop");
      expect(calls).toBe(2);
    });
});
