// Charts of lines over time, drawn as SVG.
import { amount } from "../../operate/format.ts";
import type { Shape } from "./dom.ts";
import { h } from "./dom.ts";

export interface Series {
  readonly name: string;
  /** Of the line's colour, in the style sheet. */
  readonly look: string;
  /** One for each time; where there is none, the line has a gap. */
  readonly values: readonly (number | undefined)[];
}

export interface ChartOptions {
  readonly id: string;
  readonly title: string;
  readonly times: readonly number[];
  readonly series: readonly Series[];
  /** From left to right, in milliseconds since the epoch. */
  readonly from: number;
  readonly to: number;
  readonly width: number;
  /** Which of the times is looked at. */
  readonly at: number | undefined;
  readonly format?: (value: number) => string;
}

const HEIGHT = 130;
const TOP = 8;
const BOTTOM = 20;
const LEFT = 46;

/** A chart with a legend that tells the latest values, or those under the pointer. */
export function chart(options: ChartOptions): Shape {
  const { id, title, times, series, from, to, width, at, format = amount } = options;
  const highest = Math.max(0, ...series.flatMap(({ values }) => values.map((value) => value ?? 0)));
  const top = niceTop(highest);
  const x = (time: number): number => LEFT + ((time - from) / (to - from)) * (width - LEFT - 4);
  const y = (value: number): number => TOP + (1 - value / top) * (HEIGHT - TOP - BOTTOM);
  const index = at === undefined ? times.length - 1 : Math.min(at, times.length - 1);
  const told = series.map((one) => ({ ...one, value: one.values[index] }));
  const words = told.map(({ name, value }) => `${name} ${value === undefined ? "none" : format(value)}`);
  return h(
    "figure",
    { class: "chart", key: id },
    h(
      "figcaption",
      {},
      title,
      at !== undefined && times[index] !== undefined && h("time", {}, timeOf(times[index], to - from)),
    ),
    h(
      "svg",
      {
        viewBox: `0 0 ${width} ${HEIGHT}`,
        height: HEIGHT,
        role: "img",
        tabindex: 0,
        "data-chart": id,
        "aria-label": `${title}: ${words.join(", ")}. Arrow keys look at other times.`,
      },
      [0, top / 2, top].map((value) => [
        h("line", { class: "grid", x1: LEFT, x2: width, y1: y(value), y2: y(value) }),
        (highest > 0 || value === 0) &&
          h("text", { class: "axis", x: LEFT - 6, y: y(value) + 3.5, "text-anchor": "end" }, format(value)),
      ]),
      [0, 0.5, 1].map((share, part) =>
        h(
          "text",
          {
            class: "axis",
            x: x(from + share * (to - from)),
            y: HEIGHT - 5,
            "text-anchor": ["start", "middle", "end"][part],
          },
          timeOf(from + share * (to - from), to - from),
        ),
      ),
      series.map(({ name, look, values }) =>
        h("path", { key: name, class: `line ${look}`, d: pathOf(times, values, x, y) }),
      ),
      at !== undefined &&
        times[index] !== undefined &&
        h("line", { class: "at", x1: x(times[index]), x2: x(times[index]), y1: TOP, y2: HEIGHT - BOTTOM }),
      times.length < 2 &&
        h(
          "text",
          { class: "axis", x: width / 2, y: HEIGHT / 2, "text-anchor": "middle" },
          "not enough seen yet",
        ),
    ),
    h(
      "ul",
      { class: "legend", "aria-hidden": "true" },
      told.map(({ name, look, value }) =>
        h("li", { class: look }, name, " ", h("b", {}, value === undefined ? "–" : format(value))),
      ),
    ),
  );
}

/** One line without axes. */
export function spark(values: readonly number[], label: string): Shape {
  const top = Math.max(...values, 1e-9);
  const step = 100 / Math.max(1, values.length - 1);
  const points = values.map((value, index) => `${fixed(index * step)} ${fixed(29 - (value / top) * 27)}`);
  const line = points.length < 2 ? "M0 29L100 29" : `M${points.join("L")}`;
  return h(
    "svg",
    { class: "spark", viewBox: "0 0 100 30", preserveAspectRatio: "none", role: "img", "aria-label": label },
    points.length > 1 && h("path", { class: "area", d: `${line}L100 30L0 30Z` }),
    h("path", { class: "line", d: line }),
  );
}

/** The time nearest to a place in a chart, by its number. */
export function nearest(times: readonly number[], from: number, to: number, share: number): number {
  const wanted = from + share * (to - from);
  let best = 0;
  for (const [index, time] of times.entries())
    if (Math.abs(time - wanted) < Math.abs(times[best]! - wanted)) best = index;
  return best;
}

/** Where in a chart's drawing the times begin, as a share of its width. */
export function plotStart(width: number): number {
  return LEFT / width;
}

/** The next of 1, 2, 5, 10, … that is no less. */
export function niceTop(value: number): number {
  if (value <= 0) return 1;
  const scale = 10 ** Math.floor(Math.log10(value));
  const step = [1, 2, 5, 10].find((one) => one * scale >= value * 0.999_999) ?? 10;
  return step * scale;
}

function pathOf(
  times: readonly number[],
  values: Series["values"],
  x: (time: number) => number,
  y: (value: number) => number,
): string {
  let path = "";
  let isDown = false;
  for (const [index, time] of times.entries()) {
    const value = values[index];
    if (value === undefined) isDown = false;
    else {
      // A point between two gaps is a line of no length, which round caps make a dot.
      path += `${isDown ? "L" : "M"}${fixed(x(time))} ${fixed(y(value))}${isDown ? "" : "h0"}`;
      isDown = true;
    }
  }
  return path;
}

/** With its seconds where the whole is short. */
function timeOf(at: number, wholeMs: number): string {
  const time = new Date(at).toLocaleTimeString("en-GB");
  return wholeMs < 240_000 ? time : time.slice(0, 5);
}

function fixed(value: number): number {
  return Math.round(value * 10) / 10;
}
