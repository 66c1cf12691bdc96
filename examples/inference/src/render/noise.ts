// Smooth noise: the material that skies, ridges and water are made of.
import { seededRandom } from "@holdfast/core";

/** Noise at a point of the plane, about -1 to 1, without a visible grid. */
export type Noise = (x: number, y: number) => number;

const SIZE = 256;

/** Gradient noise (Perlin, "Improving Noise", SIGGRAPH 2002), with its table shuffled by `seed`. */
export function gradientNoise(seed: number): Noise {
  const table = shuffled(seed);
  return (x, y) => {
    const cellX = Math.floor(x);
    const cellY = Math.floor(y);
    const dx = x - cellX;
    const dy = y - cellY;
    const corner = (ix: number, iy: number): number => {
      const angle =
        (table[(table[(cellX + ix) & (SIZE - 1)]! + cellY + iy) & (SIZE - 1)]! / SIZE) * Math.PI * 2;
      return Math.cos(angle) * (dx - ix) + Math.sin(angle) * (dy - iy);
    };
    const u = fade(dx);
    const top = mix(corner(0, 0), corner(1, 0), u);
    const bottom = mix(corner(0, 1), corner(1, 1), u);
    return mix(top, bottom, fade(dy)) * 1.5;
  };
}

/** Sum of octaves, each twice as fine and half as strong (fractional Brownian motion). */
export function octaves(noise: Noise, x: number, y: number, count: number): number {
  let sum = 0;
  let strength = 0.5;
  let scale = 1;
  for (let octave = 0; octave < count; octave += 1) {
    sum += strength * noise(x * scale, y * scale);
    scale *= 2.03;
    strength *= 0.5;
  }
  return sum;
}

export function mix(from: number, to: number, share: number): number {
  return from + (to - from) * share;
}

/** 0 below `low`, 1 above `high`, smooth between. */
export function smoothstep(low: number, high: number, value: number): number {
  const t = Math.min(1, Math.max(0, (value - low) / (high - low)));
  return t * t * (3 - 2 * t);
}

function fade(t: number): number {
  return t * t * t * (t * (t * 6 - 15) + 10);
}

function shuffled(seed: number): Uint8Array {
  const random = seededRandom(seed);
  const table = Uint8Array.from({ length: SIZE }, (_, index) => index);
  for (let index = SIZE - 1; index > 0; index -= 1) {
    const other = Math.floor(random() * (index + 1));
    [table[index], table[other]] = [table[other]!, table[index]!];
  }
  return table;
}
