// A landscape for a prompt: the same words always give the same picture.
import { seededRandom } from "@holdfast/core";
import type { Checkpoint, Raster } from "../image/raster.ts";
import { blank, byRows } from "../image/raster.ts";
import type { Noise } from "./noise.ts";
import { gradientNoise, octaves, smoothstep } from "./noise.ts";
import type { Colour, Palette } from "./palette.ts";
import { blend, paletteFor } from "./palette.ts";

/** Rays per pixel, in each direction. */
const SAMPLES = 2;

/** Where things are, in a frame whose width is 1 and whose y runs downwards. */
interface Scene {
  readonly palette: Palette;
  readonly noise: Noise;
  readonly aspect: number;
  readonly sun: { readonly x: number; readonly y: number; readonly radius: number };
  /** From far to near. */
  readonly ridges: readonly Ridge[];
  /** Where water begins; beyond the picture when there is none. */
  readonly shore: number;
  readonly clouds: number;
  readonly grain: (x: number, y: number) => number;
}

interface Ridge {
  readonly base: number;
  readonly height: number;
  readonly roughness: number;
  readonly offset: number;
  readonly colour: Colour;
}

/** Paints what a prompt's words ask for: its light, its land, its water, its weather. */
export async function renderPrompt(
  prompt: string,
  width: number,
  height: number,
  checkpoint: Checkpoint,
): Promise<Raster> {
  const image = blank(width, height);
  const scene = sceneFor(prompt, height / width);
  await byRows(height, checkpoint, (y) => {
    for (let x = 0; x < width; x += 1) paintPixel(image, scene, x, y);
  });
  return image;
}

function paintPixel({ width, data }: Raster, scene: Scene, x: number, y: number): void {
  let [red, green, blue] = [0, 0, 0];
  for (let sample = 0; sample < SAMPLES * SAMPLES; sample += 1) {
    const u = (x + ((sample % SAMPLES) + 0.5) / SAMPLES) / width;
    const v = (y + (Math.floor(sample / SAMPLES) + 0.5) / SAMPLES) / width;
    const colour = colourAt(scene, u, v);
    red += colour[0];
    green += colour[1];
    blue += colour[2];
  }
  const at = (y * width + x) * 4;
  const scale = 255 / (SAMPLES * SAMPLES);
  // A little grain hides the bands that 8 bits leave in a smooth sky.
  const grain = (scene.grain(x, y) - 0.5) * 4;
  data[at] = red * scale + grain;
  data[at + 1] = green * scale + grain;
  data[at + 2] = blue * scale + grain;
}

function colourAt(scene: Scene, x: number, y: number): Colour {
  if (y <= scene.shore) return landOrSky(scene, x, y);
  // Water mirrors what is above the shore, torn into ripples that grow towards us.
  const depth = (y - scene.shore) / Math.max(0.01, scene.aspect - scene.shore);
  const ripple = octaves(scene.noise, x * 6, y * 60 * (1.2 - depth), 3) * (0.004 + 0.03 * depth);
  const mirrored = landOrSky(scene, x + ripple, Math.max(0, 2 * scene.shore - y + ripple * 2));
  const glint = smoothstep(0.12, 0.32, octaves(scene.noise, x * 9, y * 90, 2)) * 0.12;
  return blend(blend(mirrored, scene.palette.ground, 0.18 + 0.3 * depth), scene.palette.light, glint);
}

function landOrSky(scene: Scene, x: number, y: number): Colour {
  // The nearest ridge that reaches up to here hides all behind it.
  for (let index = scene.ridges.length - 1; index >= 0; index -= 1) {
    const ridge = scene.ridges[index]!;
    const top = crest(scene.noise, ridge, x);
    if (y < top) continue;
    const texture = octaves(scene.noise, x * 18 + ridge.offset, y * 26, 4) * 0.12;
    const mist = smoothstep(0, 0.22, y - top) * (1 - index / scene.ridges.length) * 0.55;
    const rim = (1 - smoothstep(0, 0.006, y - top)) * 0.25;
    const shaded = blend(ridge.colour, scene.palette.ground, Math.max(0, texture));
    return blend(blend(shaded, scene.palette.horizon, mist), scene.palette.light, rim);
  }
  return sky(scene, x, y);
}

function crest(noise: Noise, ridge: Ridge, x: number): number {
  const shape = octaves(noise, x * ridge.roughness + ridge.offset, ridge.offset, 6);
  return ridge.base - ridge.height * (0.5 + shape);
}

function sky(scene: Scene, x: number, y: number): Colour {
  const { palette, sun, noise, aspect } = scene;
  let colour = blend(palette.zenith, palette.horizon, smoothstep(0, aspect * 0.75, y));
  if (palette.dark) colour = blend(colour, palette.light, star(scene, x, y));

  const distance = Math.hypot(x - sun.x, y - sun.y);
  const disc = 1 - smoothstep(sun.radius * 0.96, sun.radius, distance);
  const glow = Math.exp(-distance / (sun.radius * 3.2)) * 0.75;
  colour = blend(colour, palette.light, Math.min(1, Math.max(disc, glow)));

  // Clouds: noise displaced by noise (domain warping), so that they curl.
  const warpX = octaves(noise, x * 2.2, y * 5 + 7, 4);
  const warpY = octaves(noise, x * 2.2 + 31, y * 5, 4);
  const density = octaves(noise, x * 3 + warpX * 1.4, y * 9 + warpY * 1.4, 5);
  const cloud = smoothstep(0.05, 0.55, density + scene.clouds - 0.25) * 0.7;
  const lit = blend(palette.horizon, palette.light, Math.exp(-distance * 2.2));
  return blend(colour, lit, cloud);
}

function star(scene: Scene, x: number, y: number): number {
  const cell = 420;
  const brightness = scene.grain(Math.floor(x * cell), Math.floor(y * cell));
  if (brightness < 0.994) return 0;
  const offset = Math.hypot(((x * cell) % 1) - 0.5, ((y * cell) % 1) - 0.5);
  return (1 - smoothstep(0.1, 0.45, offset)) * ((brightness - 0.994) / 0.006) * (1 - y / scene.aspect);
}

function sceneFor(prompt: string, aspect: number): Scene {
  const words = new Set(prompt.toLowerCase().match(/\p{L}+/gu) ?? []);
  const has = (...any: string[]): boolean => any.some((word) => words.has(word));
  const seed = hashOf(prompt);
  const random = seededRandom(seed);
  const palette = paletteFor(words, random());
  const wet = has("sea", "ocean", "lake", "river", "water", "island", "coast", "beach") || random() < 0.35;
  const shore = aspect * (wet ? 0.62 + 0.1 * random() : 2);
  const rugged = has("mountain", "mountains", "alps", "peaks", "cliff") ? 1.6 : 1;
  const count = has("plain", "desert", "sea", "ocean") ? 2 : 4;
  const horizon = Math.min(shore, aspect * 0.72);
  return {
    palette,
    noise: gradientNoise(seed),
    aspect,
    sun: { x: 0.2 + 0.6 * random(), y: aspect * (0.22 + 0.28 * random()), radius: 0.035 + 0.03 * random() },
    ridges: Array.from({ length: count }, (_, index) =>
      ridgeAt(index / count, horizon, aspect, rugged, palette, random()),
    ),
    shore,
    clouds: has("cloud", "clouds", "cloudy", "storm", "fog", "mist") ? 0.35 : 0.1 + 0.15 * random(),
    grain: (x, y) => hashNumber(seed ^ (Math.imul(x | 0, 73_856_093) ^ Math.imul(y | 0, 19_349_663))),
  };
}

/** @param near - 0 for the farthest ridge, towards 1 for the nearest. */
function ridgeAt(
  near: number,
  horizon: number,
  aspect: number,
  rugged: number,
  palette: Palette,
  draw: number,
): Ridge {
  return {
    base: horizon - aspect * 0.02 + near * aspect * 0.2,
    height: aspect * (0.34 - 0.16 * near) * rugged * (0.7 + 0.5 * draw),
    roughness: 2.2 + 2.4 * near,
    offset: draw * 190 + near * 40,
    colour: blend(blend(palette.horizon, palette.zenith, 0.35), palette.ground, 0.3 + 0.7 * near),
  };
}

/** FNV-1a, 32 bits. */
function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < text.length; at += 1) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  return hash >>> 0;
}

function hashNumber(value: number): number {
  let mixed = Math.imul(value ^ (value >>> 16), 0x7feb352d);
  mixed = Math.imul(mixed ^ (mixed >>> 15), 0x846ca68b);
  return ((mixed ^ (mixed >>> 16)) >>> 0) / 2 ** 32;
}
