// Charts as SVG text: goodput over load, how long requests took, and what each device did when.
import type { TimelineBatch } from "./simulate.ts";

export interface ChartLine {
  readonly name: string;
  readonly points: readonly (readonly [x: number, y: number])[];
}

export interface LineChart {
  readonly title: string;
  readonly x: string;
  readonly y: string;
  readonly lines: readonly ChartLine[];
  /** A level worth seeing, such as a bound. */
  readonly mark?: { readonly name: string; readonly x: number };
}

const WIDTH = 760;
const HEIGHT = 420;
const LEFT = 64;
const TOP = 40;
const RIGHT = 150;
const BOTTOM = 52;

/** Told apart also by those who see few colours (Okabe & Ito). */
const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f7f", "#000000"];

/**
 * Lines over two axes.
 *
 * @example
 * ```ts
 * import { lineChart } from "@holdfast/gpu-pool/sim";
 *
 * const svg = lineChart({ title: "t", x: "x", y: "y", lines: [{ name: "a", points: [[0, 0], [1, 2]] }] });
 * svg.startsWith("<svg"); // => true
 * ```
 */
export function lineChart({ title, x, y, lines, mark }: LineChart): string {
  const points = lines.flatMap((line) => line.points);
  const maxX = niceUp(Math.max(...points.map(([at]) => at), mark?.x ?? 0));
  const maxY = niceUp(Math.max(...points.map(([, value]) => value)));
  const px = (at: number): number => LEFT + (at / maxX) * (WIDTH - LEFT - RIGHT);
  const py = (value: number): number => HEIGHT - BOTTOM - (value / maxY) * (HEIGHT - TOP - BOTTOM);
  const parts = [text(LEFT, 24, title, "start", 15)];
  for (let step = 0; step <= 5; step += 1) {
    const atX = (maxX * step) / 5;
    const atY = (maxY * step) / 5;
    parts.push(
      `<path d="M${LEFT} ${round(py(atY))}H${WIDTH - RIGHT}" stroke="#ddd"/>`,
      text(LEFT - 8, py(atY) + 4, short(atY), "end"),
      text(px(atX), HEIGHT - BOTTOM + 18, short(atX), "middle"),
    );
  }
  parts.push(
    text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12, x, "middle"),
    `<text x="16" y="${(TOP + HEIGHT - BOTTOM) / 2}" font-size="12" text-anchor="middle" transform="rotate(-90 16 ${(TOP + HEIGHT - BOTTOM) / 2})">${escape(y)}</text>`,
  );
  if (mark !== undefined)
    parts.push(
      `<path d="M${round(px(mark.x))} ${TOP}V${HEIGHT - BOTTOM}" stroke="#555" stroke-dasharray="4 4"/>`,
      text(px(mark.x) - 4, TOP + 12, mark.name, "end"),
    );
  for (const [index, line] of lines.entries()) {
    const colour = COLOURS[index % COLOURS.length]!;
    const path = line.points.map(
      ([at, value], at0) => `${at0 === 0 ? "M" : "L"}${round(px(at))} ${round(py(value))}`,
    );
    const legendY = TOP + 14 + index * 20;
    parts.push(
      `<path d="${path.join("")}" fill="none" stroke="${colour}" stroke-width="2"/>`,
      `<path d="M${WIDTH - RIGHT + 14} ${legendY - 4}h22" stroke="${colour}" stroke-width="3"/>`,
      text(WIDTH - RIGHT + 42, legendY, line.name, "start"),
    );
  }
  return svg(WIDTH, HEIGHT, parts);
}

/** The share of requests, in percent, that took at most a time, as a line of at most 200 points. */
export function latencyLine(name: string, latencies: Float64Array): ChartLine {
  const points: [number, number][] = [[0, 0]];
  for (let step = 1; step <= 200; step += 1) {
    const at = Math.max(0, Math.ceil((latencies.length * step) / 200) - 1);
    points.push([latencies[at] ?? 0, step / 2]);
  }
  return { name, points };
}

/** What every device did from one moment to another: a bar for each batch, as dark as it is large. */
export function timelineChart(
  title: string,
  batches: readonly TimelineBatch[],
  fromMs: number,
  toMs: number,
): string {
  const shown = batches.filter(({ start, end }) => end > fromMs && start < toMs);
  const devices = [...new Set(batches.map(({ device }) => device))].sort();
  const largest = Math.max(1, ...shown.map(({ units }) => units));
  const row = 26;
  const height = TOP + devices.length * row + BOTTOM;
  const px = (at: number): number =>
    LEFT + ((Math.min(toMs, Math.max(fromMs, at)) - fromMs) / (toMs - fromMs)) * (WIDTH - LEFT - 20);
  const parts = [text(LEFT, 24, title, "start", 15)];
  for (const [index, device] of devices.entries())
    parts.push(text(LEFT - 8, TOP + index * row + 16, device, "end"));
  for (const { device, start, end, units } of shown) {
    const top = TOP + devices.indexOf(device) * row + 2;
    const opacity = round(0.25 + (0.75 * units) / largest);
    const width = Math.max(1, px(end) - px(start) - 1);
    parts.push(
      `<rect x="${round(px(start))}" y="${top}" width="${round(width)}" height="${row - 4}" fill="#0072b2" fill-opacity="${opacity}"/>`,
      ...(width > 18 ? [text(px(start) + width / 2, top + 15, String(units), "middle", 11, "#fff")] : []),
    );
  }
  for (let step = 0; step <= 5; step += 1) {
    const at = fromMs + ((toMs - fromMs) * step) / 5;
    parts.push(text(px(at), height - BOTTOM + 20, `${short(at - fromMs)} ms`, step === 5 ? "end" : "middle"));
  }
  return svg(WIDTH, height, parts);
}

function svg(width: number, height: number, parts: readonly string[]): string {
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="system-ui, sans-serif"><rect width="${width}" height="${height}" fill="#fff"/>${parts.join("\n")}</svg>\n`;
}

function text(x: number, y: number, what: string, anchor: string, size = 12, colour = "#222"): string {
  return `<text x="${round(x)}" y="${round(y)}" font-size="${size}" text-anchor="${anchor}" fill="${colour}">${escape(what)}</text>`;
}

function escape(what: string): string {
  return what.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

/** The next of 1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8 times a power of ten. */
function niceUp(value: number): number {
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return power * [1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10].find((step) => step * power >= value * (1 - 1e-9))!;
}

function short(value: number): string {
  return value >= 10_000 ? `${round(value / 1_000)}k` : String(round(value));
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}
