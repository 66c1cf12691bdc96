// Counts Holdfast's events in this process and shows them as Prometheus text, with no dependency.
import type { Handler } from "../http/handler.ts";
import { problemResponse, RequestError } from "../http/problem-response.ts";
import { optionsOf } from "../options.ts";
import { channel } from "../telemetry/channel.ts";
import { coreMetrics } from "./core-metrics.ts";
import type { SeriesLabels } from "./exposition.ts";
import { EXPOSITION_TYPE, familyName, histogramLines, numberLines } from "./exposition.ts";
import type { LabelValue, MetricRule, MetricTable } from "./metric-table.ts";
import { amountOf, joinedTable } from "./metric-table.ts";

export interface PrometheusOptions {
  /** What is counted; packages above core export their own tables. @defaultValue [coreMetrics] */
  readonly tables?: readonly MetricTable[];
  /**
   * Most label combinations kept for each metric. Those beyond are counted together, in one more series whose
   * only label is `overflow="true"`. From 1 to 100,000. @defaultValue 1_000
   */
  readonly maxSeries?: number;
}

/** The numbers of a process since it began to listen. */
export interface Prometheus extends Disposable {
  /** Prometheus text exposition format 0.0.4. */
  text(): string;
  /** Answers GET and HEAD with {@link text}, anything else with 405. Needs no `this`. */
  readonly handler: Handler;
  /** Listens no more: where nobody else does, events are no longer built. The text stays as it was. */
  close(): void;
}

/** The defaults of `prometheus`. */
export const PROMETHEUS_DEFAULTS: { readonly maxSeries: number } = { maxSeries: 1_000 };

/**
 * Listens to the channels of the tables and counts their events, until it is closed. Metric names and labels are
 * listed in `docs/telemetry.md`. Memory is bounded by `maxSeries`; a label's value is cut at 128 characters.
 *
 * @throws InvalidOptionError when two rows define one metric, or an option is out of range.
 *
 * @example
 * ```ts
 * import { fallback, prometheus } from "@holdfast/core";
 *
 * const numbers = prometheus();
 * const orNobody = fallback("nobody", { name: "profile" });
 * await orNobody.run(() => Promise.reject(new TypeError("fetch failed")));
 *
 * const response = await numbers.handler(new Request("http://localhost/metrics"));
 * const used = (await response.text()).split("\n").filter((line) => line.startsWith("holdfast_fallback_used_total"));
 * used; // => ['holdfast_fallback_used_total{policy="profile",error_type="TypeError"} 1']
 * numbers.close();
 * ```
 */
export function prometheus(options: PrometheusOptions = {}): Prometheus {
  const check = optionsOf("prometheus");
  check.object("options", options);
  const maxSeries = check.integer(
    "maxSeries",
    options.maxSeries,
    { min: 1, max: 100_000 },
    PROMETHEUS_DEFAULTS.maxSeries,
  );
  return new EventCounts(joinedTable("prometheus", options.tables ?? [coreMetrics], familyOf), maxSeries);
}

/** Longest label value, in characters. */
const MAX_VALUE_LENGTH = 128;

class EventCounts implements Prometheus {
  readonly #families: readonly Family[];
  readonly #stops: (() => void)[];

  constructor(table: MetricTable, maxSeries: number) {
    const rows = table.map(({ owner, event, metrics }) => ({
      events: channel<unknown>(owner, event),
      families: metrics.map((rule) => new Family(rule, maxSeries)),
    }));
    this.#families = rows.flatMap(({ families }) => families);
    this.#stops = rows.map(({ events, families }) =>
      events.subscribe((event) => {
        for (const family of families) family.take(event);
      }),
    );
  }

  text(): string {
    return this.#families.flatMap((family) => family.lines()).join("\n") + "\n";
  }

  readonly handler: Handler = (request) => {
    if (request.method !== "GET" && request.method !== "HEAD")
      return problemResponse(
        new RequestError(405, "METHOD_NOT_ALLOWED", `metrics are read with GET, not ${request.method}`),
        { allow: "GET, HEAD" },
      );
    const headers = { "content-type": EXPOSITION_TYPE, "cache-control": "no-store" };
    return new Response(request.method === "HEAD" ? null : this.text(), { headers });
  };

  close(): void {
    for (const stop of this.#stops.splice(0)) stop();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

interface Series {
  readonly labels: SeriesLabels;
  /** Events by bucket, the last one above all bounds. Only a histogram has them. */
  readonly counts: number[];
  /** Sum of all amounts: a counter's value. Of a gauge the latest. */
  sum: number;
}

/** One metric with its bounded series. */
class Family {
  readonly #rule: MetricRule<unknown>;
  readonly #maxSeries: number;
  readonly #bounds: readonly number[];
  readonly #readers: readonly (readonly [label: string, read: (event: unknown) => LabelValue])[];
  readonly #series = new Map<string, Series>();
  #overflow: Series | undefined;

  constructor(rule: MetricRule<unknown>, maxSeries: number) {
    this.#rule = rule;
    this.#maxSeries = maxSeries;
    this.#bounds = rule.buckets ?? [];
    this.#readers = Object.entries(rule.labels ?? {}).map(([label, read]) => [
      label.replaceAll(".", "_"),
      read,
    ]);
  }

  take(event: unknown): void {
    try {
      const amount = amountOf(this.#rule, event);
      if (amount !== undefined) this.#add(this.#seriesOf(event), amount);
    } catch {
      // A reader's own fault; the other metrics of the event still count.
    }
  }

  lines(): string[] {
    const { help, type } = this.#rule;
    const series = [...this.#series.values()];
    if (this.#overflow !== undefined) series.push(this.#overflow);
    if (type === "histogram") return histogramLines(familyOf(this.#rule), help, this.#bounds, series);
    const values = series.map(({ labels, sum }) => ({ labels, value: sum }));
    return numberLines(familyOf(this.#rule), help, type, values);
  }

  #add(series: Series, amount: number): void {
    const { type } = this.#rule;
    series.sum = type === "gauge" ? amount : series.sum + amount;
    if (type !== "histogram") return;
    const bucket = this.#bounds.findIndex((bound) => amount <= bound);
    series.counts[bucket === -1 ? this.#bounds.length : bucket]! += 1;
  }

  #seriesOf(event: unknown): Series {
    const labels: [string, string][] = [];
    for (const [label, read] of this.#readers) {
      const value = read(event);
      if (value !== undefined) labels.push([label, labelText(value)]);
    }
    const key = JSON.stringify(labels);
    const known = this.#series.get(key);
    if (known !== undefined) return known;
    if (this.#series.size >= this.#maxSeries) return (this.#overflow ??= this.#fresh([["overflow", "true"]]));
    const fresh = this.#fresh(labels);
    this.#series.set(key, fresh);
    return fresh;
  }

  #fresh(labels: SeriesLabels): Series {
    const buckets = this.#rule.type === "histogram" ? this.#bounds.length + 1 : 0;
    return { labels, counts: Array.from({ length: buckets }, () => 0), sum: 0 };
  }
}

// Half of a surrogate pair becomes what UTF-8 makes of it, so that no two series are written alike.
function labelText(value: string | number | boolean): string {
  return String(value)
    .slice(0, MAX_VALUE_LENGTH)
    .replaceAll(/\p{Surrogate}/gu, "\uFFFD");
}

function familyOf({ name, unit, type }: MetricRule<unknown>): string {
  return familyName(name, unit, type);
}
