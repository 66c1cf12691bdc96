// Prometheus text exposition format 0.0.4: how metric families are written down. Pure.
// https://prometheus.io/docs/instrumenting/exposition_formats/
import type { MetricType } from "./metric-table.ts";

/** What the content-type header of the text is. */
export const EXPOSITION_TYPE = "text/plain; version=0.0.4; charset=utf-8";

/** Labels of one series, by their final names, in the order they are written. */
export type SeriesLabels = readonly (readonly [name: string, value: string])[];

/** A histogram's series: `counts[i]` fell in the bucket of `bounds[i]` alone, the last one above all bounds. */
export interface HistogramSeries {
  readonly labels: SeriesLabels;
  readonly counts: readonly number[];
  readonly sum: number;
}

/** A series of one number: a counter's or a gauge's. */
export interface NumberSeries {
  readonly labels: SeriesLabels;
  readonly value: number;
}

/**
 * A dotted name with its UCUM unit as Prometheus wants it: `holdfast.retry.delay` in `s` is
 * `holdfast_retry_delay_seconds`, a counter ends in `_total`. A unit in braces only says what is counted.
 */
export function familyName(name: string, unit: string, type: MetricType): string {
  const suffix = unit === "s" ? "_seconds" : unit === "By" ? "_bytes" : "";
  return name.replaceAll(".", "_") + suffix + (type === "counter" ? "_total" : "");
}

/** Lines of a counter's or gauge's family. */
export function numberLines(
  family: string,
  help: string,
  type: "counter" | "gauge",
  series: Iterable<NumberSeries>,
): string[] {
  const lines = header(family, help, type);
  for (const { labels, value } of series) lines.push(sample(family, labels, value));
  return lines;
}

/** Lines of a histogram family; `bounds` are its upper bounds, ascending. */
export function histogramLines(
  family: string,
  help: string,
  bounds: readonly number[],
  series: Iterable<HistogramSeries>,
): string[] {
  const lines = header(family, help, "histogram");
  for (const { labels, counts, sum } of series) {
    let below = 0;
    for (const [at, count] of counts.entries()) {
      below += count;
      const le = at < bounds.length ? String(bounds[at]) : "+Inf";
      lines.push(sample(`${family}_bucket`, [...labels, ["le", le]], below));
    }
    lines.push(sample(`${family}_sum`, labels, sum), sample(`${family}_count`, labels, below));
  }
  return lines;
}

function header(family: string, help: string, type: string): string[] {
  const text = help.replaceAll("\\", "\\\\").replaceAll("\n", "\\n");
  return [`# HELP ${family} ${text}`, `# TYPE ${family} ${type}`];
}

function sample(name: string, labels: SeriesLabels, value: number): string {
  const inner = labels.map(([label, text]) => `${label}="${escaped(text)}"`).join(",");
  return `${name}${inner === "" ? "" : `{${inner}}`} ${value}`;
}

function escaped(value: string): string {
  return value.replaceAll("\\", "\\\\").replaceAll("\n", "\\n").replaceAll('"', '\\"');
}
