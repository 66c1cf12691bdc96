// Hit rates as an SVG: one panel for each size, one row for each trace, one mark for each policy.
import { POLICIES, SIZES } from "./hit-rates.mjs";
import { TRACES } from "./traces.mjs";

const WIDTH = 860;
const LEFT = 128;
const PANEL_WIDTH = 208;
const PANEL_STEP = 240;
const TOP = 124;
const ROW = 36;

// The colours are those of Okabe and Ito; shapes tell the marks apart without them.
const STYLE = `
  .paper { fill: #ffffff } .ink { fill: #1f2328 } .soft { fill: #59636e } .grid { stroke: #d1d9e0 } .rail { stroke: #d1d9e0; stroke-width: 6 }
  .m0 { fill: #ffffff; stroke: #a85008; stroke-width: 2 } .m1 { fill: #a4508b } .m2 { fill: #0072b2 } .m3 { stroke: #1f2328; stroke-width: 2 }
  text { font: 12px system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif } .title { font-size: 17px; font-weight: 600 }
  .panel { font-weight: 600 }
  @media (prefers-color-scheme: dark) {
    .paper { fill: #0d1117 } .ink { fill: #f0f6fc } .soft { fill: #9198a1 } .grid { stroke: #2a313c } .rail { stroke: #2a313c }
    .m0 { fill: #0d1117; stroke: #ff8a3d } .m1 { fill: #e39ccb } .m2 { fill: #56b4e9 } .m3 { stroke: #f0f6fc }
  }
`;

/** @type {readonly ((x: number, y: number) => string)[]} In the order of `POLICIES`. */
const MARKS = [
  (x, y) => `<circle class="m0" cx="${number(x)}" cy="${number(y)}" r="4.5"/>`,
  (x, y) =>
    `<path class="m1" d="M${number(x)} ${number(y - 6)}l5.5 10h-11z" stroke="none" transform="translate(0 1)"/>`,
  (x, y) => `<path class="m2" d="M${number(x)} ${number(y - 6.5)}l6.5 6.5l-6.5 6.5l-6.5 -6.5z"/>`,
  (x, y) => `<path class="m3" d="M${number(x)} ${number(y - 10)}v20"/>`,
];

/**
 * @param {readonly import("./hit-rates.mjs").Measured[]} measured
 * @returns {string} A whole SVG document; the same text for the same figures.
 */
export function hitRateChart(measured) {
  const bottom = TOP + TRACES.length * ROW;
  const height = bottom + 36;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" role="img" aria-labelledby="title subtitle">`,
    `<title id="title">Hit rates of the memory tier</title>`,
    `<desc id="subtitle">Hits in percent of all requests, by trace, size of the cache and policy; the figures are in the table</desc>`,
    `<style>${STYLE}</style>`,
    `<rect class="paper" width="${WIDTH}" height="${height}" rx="6"/>`,
    text(20, 32, "ink title", "Hit rates of the memory tier"),
    text(20, 52, "soft", "Hits in percent of all requests; further right is better"),
    ...POLICIES.flatMap((policy, index) => [
      MARKS[index](28 + index * 110, 76),
      text(42 + index * 110, 80, "ink", policy),
    ]),
    ...TRACES.map(({ name }, row) => text(LEFT - 14, middleOf(row) + 4, "ink", name, "end")),
    ...SIZES.flatMap((size, panel) => drawPanel(measured, size, LEFT + panel * PANEL_STEP, bottom)),
    "</svg>",
    "",
  ].join("\n");
}

function drawPanel(measured, size, left, bottom) {
  const x = (rate) => left + rate * PANEL_WIDTH;
  const parts = [text(left, TOP - 14, "ink panel", `${size.toLocaleString("en")} entries`)];
  for (const rate of [0, 0.25, 0.5, 0.75, 1]) {
    parts.push(`<path class="grid" d="M${number(x(rate))} ${TOP}V${bottom}"/>`);
    parts.push(text(x(rate), bottom + 16, "soft", String(rate * 100), "middle"));
  }
  for (const [row, { name }] of TRACES.entries()) {
    const { rates } = measured.find((one) => one.trace === name && one.size === size);
    const all = POLICIES.map((policy) => rates[policy]);
    const y = middleOf(row);
    parts.push(
      `<path class="rail" d="M${number(x(Math.min(...all)))} ${y}H${number(x(Math.max(...all)))}"/>`,
    );
    // The optimum first, ours last; one above the other, since they are often close together.
    for (const [index, shift] of [
      [3, 0],
      [0, -5],
      [1, 5],
      [2, 0],
    ])
      parts.push(MARKS[index](x(all[index]), y + shift));
  }
  return parts;
}

function middleOf(row) {
  return TOP + row * ROW + ROW / 2;
}

function text(x, y, classes, content, anchor) {
  const place = anchor === undefined ? "" : ` text-anchor="${anchor}"`;
  return `<text class="${classes}" x="${number(x)}" y="${number(y)}"${place}>${content}</text>`;
}

function number(value) {
  return String(Math.round(value * 10) / 10);
}
