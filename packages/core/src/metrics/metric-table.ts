// What events mean in numbers and spans: one table, read by the OpenTelemetry bridge and by the Prometheus text.
import { optionsOf } from "../options.ts";

/** A label's or attribute's value; `undefined` leaves it out. */
export type LabelValue = string | number | boolean | undefined;

/** Labels or attributes, each read from the event. A name without a dot is ours: in OpenTelemetry `holdfast.<name>`. */
export type LabelReaders<Event> = Readonly<Record<string, (event: Event) => LabelValue>>;

/** `counter`: adds up. `gauge`: is what the latest event says. `histogram`: how values are spread. */
export type MetricType = "counter" | "gauge" | "histogram";

/** One metric and how an event changes it. */
export interface MetricRule<Event> {
  /** Lower case, dots between the parts, no unit and no `total` at the end: `"holdfast.retry.retries"`. */
  readonly name: string;
  readonly type: MetricType;
  /** UCUM: `"s"`, `"By"`, or what is counted in braces, `"{call}"`. Time is in seconds. */
  readonly unit: string;
  readonly help: string;
  /**
   * Only what has few values by its nature: a policy's name, a reason, a status. Never an ID, a key, a URL or a
   * message. @defaultValue none
   */
  readonly labels?: LabelReaders<Event>;
  /** What is added, shown or observed, not negative; `undefined` skips it. @defaultValue 1, for a counter only */
  readonly value?: (event: Event) => number | undefined;
  /** Upper bounds of a histogram's buckets, ascending. Required for a histogram. */
  readonly buckets?: readonly number[];
}

/** What an event adds to a trace. */
export interface TraceRule<Event> {
  /** `"event"`: an event on the span that is active where it was published. `"span"`: a span that ends now. */
  readonly as: "event" | "span";
  readonly name: string | ((event: Event) => string);
  /** May have many values, such as an ID; still nothing secret. @defaultValue none */
  readonly attributes?: LabelReaders<Event>;
  /** For a span: how long it was, in milliseconds. Required for a span. */
  readonly durationMs?: (event: Event) => number;
  /** For a span. @defaultValue "internal" */
  readonly kind?: "internal" | "server" | "client" | "producer" | "consumer";
  /** What kind of error it ended with; the span's status is then an error. @defaultValue none */
  readonly errorType?: (event: Event) => string | undefined;
}

/** What the events of one channel mean. */
export interface ChannelRule<Event> {
  readonly metrics: readonly MetricRule<Event>[];
  readonly trace?: TraceRule<Event>;
}

/** A checked rule of a table, for the channel `holdfast:<owner>:<event>`. Made by {@link channelMetrics}. */
export interface TableRow extends ChannelRule<unknown> {
  readonly owner: string;
  readonly event: string;
}

/** What one package's events mean. Tables are joined by listing them: `[...coreMetrics, ...ours]`. */
export type MetricTable = readonly TableRow[];

/**
 * One row of a {@link MetricTable}: the metrics of the channel `holdfast:<owner>:<event>`.
 *
 * @throws InvalidOptionError when a name, unit or bucket list cannot be one.
 *
 * @example
 * ```ts
 * import type { MetricTable } from "@holdfast/core";
 * import { channelMetrics } from "@holdfast/core";
 *
 * const table: MetricTable = [
 *   channelMetrics<{ readonly cache: string }>("cache", "evicted", {
 *     metrics: [
 *       {
 *         name: "holdfast.cache.evictions",
 *         type: "counter",
 *         unit: "{entry}",
 *         help: "Entries dropped to make room.",
 *         labels: { cache: ({ cache }) => cache },
 *       },
 *     ],
 *   }),
 * ];
 * table.map(({ owner, event }) => `${owner}:${event}`); // => ["cache:evicted"]
 * ```
 */
export function channelMetrics<Event>(owner: string, event: string, rule: ChannelRule<Event>): TableRow {
  const check = optionsOf("channelMetrics");
  check.string("owner", owner);
  check.string("event", event);
  for (const metric of rule.metrics) checkMetric(metric);
  if (rule.trace?.as === "span" && rule.trace.durationMs === undefined)
    check.refuse("durationMs", undefined, "a function that tells how long the span was");
  // The channel's publisher decides the type; a table only passes its events on to the readers made for them.
  return { owner, event, ...(rule as ChannelRule<unknown>) };
}

/** What the event does to the metric: the amount, or `undefined` when it does nothing. */
export function amountOf<Event>(rule: MetricRule<Event>, event: Event): number | undefined {
  const amount = rule.value === undefined ? 1 : rule.value(event);
  return amount !== undefined && Number.isFinite(amount) && amount >= 0 ? amount : undefined;
}

/**
 * One table of all, checked: each metric has one definition. `nameOf` is how its output writes a metric's name.
 *
 * @throws InvalidOptionError for something that is no list of tables, or a metric that is defined twice.
 */
export function joinedTable(
  owner: string,
  tables: readonly MetricTable[],
  nameOf: (rule: MetricRule<unknown>) => string,
): MetricTable {
  const check = optionsOf(owner);
  const rows: unknown = Array.isArray(tables) ? tables.flat() : undefined;
  if (!Array.isArray(rows) || !rows.every(isRow))
    return check.refuse("tables", tables, "a list of tables, their rows made by channelMetrics");
  const names = rows.flatMap(({ metrics }) => metrics.map(nameOf));
  const repeated = names.find((name, at) => names.indexOf(name) !== at);
  return repeated === undefined ? rows : check.refuse("tables", repeated, "each metric once");
}

function isRow(row: unknown): row is TableRow {
  return (
    typeof row === "object" &&
    row !== null &&
    "event" in row &&
    "metrics" in row &&
    Array.isArray(row.metrics)
  );
}

const NAME = /^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*$/;

function checkMetric(metric: MetricRule<never>): void {
  const check = optionsOf("channelMetrics");
  const { name, unit, buckets } = metric;
  if (!NAME.test(name) || name.length > 128)
    check.refuse("name", name, "lower-case words with dots between them, at most 128 characters");
  check.oneOf("type", metric.type, ["counter", "gauge", "histogram"]);
  if (!/^(s|By|1|\{[a-z_]+\})$/.test(unit)) check.refuse("unit", unit, '"s", "By", "1" or a word in braces');
  check.string("help", metric.help, 500);
  checkLabels(Object.keys(metric.labels ?? {}));
  if (metric.type === "counter") return;
  if (metric.value === undefined) check.refuse("value", undefined, "a function that reads what is observed");
  if (metric.type === "gauge") return;
  const rises = buckets?.every(
    (bound, at) => Number.isFinite(bound) && bound > (buckets[at - 1] ?? -Infinity),
  );
  if (rises !== true || buckets?.length === 0) check.refuse("buckets", buckets, "ascending upper bounds");
}

function checkLabels(labels: readonly string[]): void {
  const check = optionsOf("channelMetrics");
  for (const label of labels)
    if (!NAME.test(label) || label === "le" || label === "overflow")
      check.refuse("labels", label, 'lower-case words with dots between them, not "le" and not "overflow"');
  const written = new Set(labels.map((label) => label.replaceAll(".", "_")));
  if (written.size !== labels.length) check.refuse("labels", labels, "names that differ in more than a dot");
}
