// Line charts as SVG text: panels one above the other on one axis of seconds, readable on light and on dark.

/**
 * @typedef {object} Chart
 * @property {string} title
 * @property {string} subtitle
 * @property {{ from: number, to: number, label: string }[]} bands - Spans of seconds that are shaded.
 * @property {Panel[]} panels - Their series of the same place have the same colour; the first panel names them.
 *
 * @typedef {object} Panel
 * @property {string} title - With the unit.
 * @property {{ name: string, values: number[] }[]} series - One value per second; what is not finite leaves a gap.
 * @property {{ value: number, label: string }} [level] - A horizontal line.
 * @property {number} [max] - Upper end of the axis; what goes beyond it is cut. By default all fits.
 */

const WIDTH = 860;
const LEFT = 56;
const RIGHT = 20;
const PLOT_WIDTH = WIDTH - LEFT - RIGHT;
const PLOT_HEIGHT = 170;
/** From the top of one panel to the top of the next. */
const PANEL_STEP = PLOT_HEIGHT + 58;
const HEAD = 122;
const FOOT = -22;

// The colours are those of Okabe and Ito, told apart by all; dashes tell the series apart without colour.
const STYLE = `
  .paper { fill: #ffffff } .ink { fill: #1f2328 } .soft { fill: #59636e } .grid { stroke: #d1d9e0 }
  .axis { stroke: #59636e } .band { fill: #d1d9e0; fill-opacity: .45 } .level { stroke: #59636e; stroke-dasharray: 2 4 }
  .s0 { stroke: #d55e00 } .s1 { stroke: #0072b2 } .s2 { stroke: #00805c; stroke-dasharray: 6 3 } .s3 { stroke: #a4508b; stroke-dasharray: 2 2 }
  .line { fill: none; stroke-width: 1.8; stroke-linejoin: round }
  text { font: 12px system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif } .title { font-size: 17px; font-weight: 600 }
  .panel { font-weight: 600 }
  @media (prefers-color-scheme: dark) {
    .paper { fill: #0d1117 } .ink { fill: #f0f6fc } .soft { fill: #9198a1 } .grid { stroke: #2a313c } .axis { stroke: #9198a1 }
    .band { fill: #3d444d; fill-opacity: .5 } .level { stroke: #9198a1 }
    .s0 { stroke: #ff8a3d } .s1 { stroke: #56b4e9 } .s2 { stroke: #2fc795 } .s3 { stroke: #e39ccb }
  }
`;

/**
 * @param {Chart} chart
 * @returns {string} A whole SVG document; the same text for the same chart.
 */
export function svgChart({ title, subtitle, bands, panels }) {
  const seconds = Math.max(...panels.flatMap(({ series }) => series.map(({ values }) => values.length)));
  const height = HEAD + panels.length * PANEL_STEP + FOOT;
  const x = (second) => LEFT + (second / seconds) * PLOT_WIDTH;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" role="img" aria-labelledby="title subtitle">`,
    `<title id="title">${escaped(title)}</title>`,
    `<desc id="subtitle">${escaped(subtitle)}</desc>`,
    `<style>${STYLE}</style>`,
    `<rect class="paper" width="${WIDTH}" height="${height}" rx="6"/>`,
    text(20, 32, "ink title", title),
    text(20, 52, "soft", subtitle),
    ...legend(panels[0].series, 76),
    ...panels.flatMap((panel, index) =>
      drawPanel(panel, HEAD + index * PANEL_STEP, { x, seconds, bands, first: index === 0 }),
    ),
    "</svg>",
    "",
  ].join("\n");
}

function legend(series, y) {
  let left = 20;
  return series.flatMap(({ name }, index) => {
    const at = left;
    // About the width of a letter at this size: the text is not measured here.
    left += 44 + name.length * 6.6;
    return [`<path class="line s${index}" d="M${number(at)} ${y - 4}h24"/>`, text(at + 30, y, "ink", name)];
  });
}

function drawPanel({ title, series, level, max }, top, { x, seconds, bands, first }) {
  const highest =
    max ?? Math.max(1, level?.value ?? 0, ...series.flatMap(({ values }) => values.filter(Number.isFinite)));
  const step = niceStep(highest / 4);
  const ceiling = Math.ceil(highest / step) * step;
  const bottom = top + PLOT_HEIGHT;
  const y = (value) => bottom - (Math.min(Math.max(value, 0), ceiling) / ceiling) * PLOT_HEIGHT;
  const parts = [text(LEFT, top - 10, "ink panel", title)];

  for (const { from, to, label } of bands) {
    parts.push(
      `<rect class="band" x="${number(x(from))}" y="${top}" width="${number(x(to) - x(from))}" height="${PLOT_HEIGHT}"/>`,
    );
    if (first) parts.push(text((x(from) + x(to)) / 2, top + 14, "soft", label, "middle"));
  }
  for (let value = 0; value <= ceiling + step / 2; value += step) {
    if (value > 0) parts.push(`<path class="grid" d="M${LEFT} ${number(y(value))}h${PLOT_WIDTH}"/>`);
    parts.push(text(LEFT - 8, y(value) + 4, "soft", String(Math.round(value * 100) / 100), "end"));
  }
  for (let second = 0; second <= seconds; second += seconds > 60 ? 10 : 5)
    parts.push(text(x(second), bottom + 17, "soft", second === 0 ? "0 s" : String(second), "middle"));
  parts.push(`<path class="axis" fill="none" d="M${LEFT} ${top}V${bottom}H${WIDTH - RIGHT}"/>`);
  if (level !== undefined) {
    parts.push(`<path class="level" d="M${LEFT} ${number(y(level.value))}h${PLOT_WIDTH}"/>`);
    parts.push(text(WIDTH - RIGHT - 4, y(level.value) - 5, "soft", level.label, "end"));
  }
  for (const [index, { values }] of series.entries())
    parts.push(`<path class="line s${index}" d="${linePath(values, x, y)}"/>`);
  return parts;
}

/** A point in the middle of each second. */
function linePath(values, x, y) {
  let path = "";
  let pen = "M";
  for (const [second, value] of values.entries()) {
    if (Number.isFinite(value)) path += `${pen}${number(x(second + 0.5))} ${number(y(value))}`;
    pen = Number.isFinite(value) ? "L" : "M";
  }
  return path;
}

/** The next of 1, 2, 2.5, 5 × a power of ten. */
function niceStep(least) {
  let power = 1;
  while (power * 10 <= least) power *= 10;
  while (power > least) power /= 10;
  return [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((step) => step >= least);
}

function text(x, y, classes, content, anchor) {
  const place = anchor === undefined ? "" : ` text-anchor="${anchor}"`;
  return `<text class="${classes}" x="${number(x)}" y="${number(y)}"${place}>${escaped(content)}</text>`;
}

function number(value) {
  return String(Math.round(value * 10) / 10);
}

function escaped(content) {
  return content.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
