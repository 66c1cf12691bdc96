// Turns Holdfast's events into OpenTelemetry metrics, span events and spans, by the same tables as the Prometheus text.
import type {
  Attributes,
  Counter,
  Gauge,
  Histogram,
  HrTime,
  Meter,
  MeterProvider,
  Tracer,
  TracerProvider,
} from "@opentelemetry/api";
import { metrics, SpanKind, SpanStatusCode, trace } from "@opentelemetry/api";
import { optionsOf } from "../options.ts";
import { channel } from "../telemetry/channel.ts";
import { coreMetrics } from "../metrics/core-metrics.ts";
import type { LabelReaders, MetricRule, MetricTable, TableRow, TraceRule } from "../metrics/metric-table.ts";
import { amountOf, joinedTable } from "../metrics/metric-table.ts";
import type { Clock } from "../time/clock.ts";
import { systemClock } from "../time/system-clock.ts";

export interface InstrumentOptions {
  /** `false` for no metrics. @defaultValue the global one, as it is now */
  readonly meterProvider?: MeterProvider | false;
  /** `false` for nothing on traces. @defaultValue the global one, also when it is registered later */
  readonly tracerProvider?: TracerProvider | false;
  /** What is measured; packages above core export their own tables. @defaultValue coreMetrics */
  readonly tables?: readonly MetricTable[];
  /** Tells when a span ended, as wall-clock time. @defaultValue systemClock */
  readonly clock?: Clock;
}

export interface Instrumentation extends Disposable {
  /** `holdfast:<package>:<event>`, in the order of the tables. */
  readonly channels: readonly string[];
  /** Listens no more: where nobody else does, events are no longer built. Instruments keep what they have counted. */
  stop(): void;
}

/**
 * Listens to the channels of the tables and records their events with OpenTelemetry, until it is stopped. Metric
 * and attribute names are listed in `docs/telemetry.md`. What a provider or a table throws changes no outcome.
 *
 * The number of series is bounded by the SDK's cardinality limit (2,000 for each metric unless a view says otherwise).
 *
 * @throws InvalidOptionError when two rows define one metric, or an option is not what it must be.
 *
 * @example
 * ```ts
 * import { constant, retry } from "@holdfast/core";
 * import { instrument } from "@holdfast/core/otel";
 * import { MeterProvider, MetricReader } from "@opentelemetry/sdk-metrics";
 *
 * class OnDemand extends MetricReader {
 *   protected override async onShutdown(): Promise<void> {}
 *   protected override async onForceFlush(): Promise<void> {}
 * }
 * const reader = new OnDemand();
 * const instrumentation = instrument({ meterProvider: new MeterProvider({ readers: [reader] }) });
 *
 * let tries = 0;
 * const flaky = (): string => {
 *   if ((tries += 1) < 3) throw new Error("not yet");
 *   return "done";
 * };
 * await retry({ name: "db", attempts: 3, backoff: constant("1ms") }).run(flaky);
 *
 * const { resourceMetrics } = await reader.collect();
 * const metrics = resourceMetrics.scopeMetrics.flatMap((scope) => scope.metrics);
 * const retries = metrics.find(({ descriptor }) => descriptor.name === "holdfast.retry.retries");
 * retries?.dataPoints.map(({ value }) => value); // => [2]
 * instrumentation.stop();
 * ```
 */
export function instrument(options: InstrumentOptions = {}): Instrumentation {
  const check = optionsOf("instrument");
  check.object("options", options);
  const table = joinedTable("instrument", options.tables ?? [coreMetrics], ({ name }) => name);
  if (!provides(options.meterProvider, "getMeter"))
    check.refuse("meterProvider", options.meterProvider, "a MeterProvider or false");
  if (!provides(options.tracerProvider, "getTracer"))
    check.refuse("tracerProvider", options.tracerProvider, "a TracerProvider or false");
  const meter = meterOf(options.meterProvider);
  const tracer = tracerOf(options.tracerProvider);
  const clock = options.clock ?? systemClock;

  const listeners = table.map((row) => listenerOf(row, meter, tracer, clock));
  const listened = table.map((row, at) => {
    const events = channel<unknown>(row.owner, row.event);
    return { name: events.name, stop: events.subscribe(listeners[at]!) };
  });
  const stop = (): void => {
    for (const one of listened.splice(0)) one.stop();
  };
  return { channels: listened.map(({ name }) => name), stop, [Symbol.dispose]: stop };
}

type Listener = (event: unknown) => void;

/** The scope under which everything is recorded. */
const SCOPE = "@holdfast/core";

const SPAN_KINDS = {
  internal: SpanKind.INTERNAL,
  server: SpanKind.SERVER,
  client: SpanKind.CLIENT,
  producer: SpanKind.PRODUCER,
  consumer: SpanKind.CONSUMER,
};

function provides(provider: unknown, method: string): boolean {
  if (provider === undefined || provider === false) return true;
  return typeof (provider as Readonly<Record<string, unknown>> | null)?.[method] === "function";
}

function meterOf(provider: MeterProvider | false | undefined): Meter | undefined {
  return provider === false ? undefined : (provider ?? metrics.getMeterProvider()).getMeter(SCOPE);
}

function tracerOf(provider: TracerProvider | false | undefined): Tracer | undefined {
  return provider === false ? undefined : (provider ?? trace.getTracerProvider()).getTracer(SCOPE);
}

function listenerOf(
  row: TableRow,
  meter: Meter | undefined,
  tracer: Tracer | undefined,
  clock: Clock,
): Listener {
  const parts: Listener[] = meter === undefined ? [] : row.metrics.map((rule) => recorder(meter, rule));
  if (row.trace !== undefined && tracer !== undefined) parts.push(traceWriter(tracer, row.trace, clock));
  return (event) => {
    for (const part of parts) {
      try {
        part(event);
      } catch {
        // One metric's fault must not cost the others.
      }
    }
  };
}

function recorder(meter: Meter, rule: MetricRule<unknown>): Listener {
  const record = instrumentOf(meter, rule);
  return (event) => {
    const amount = amountOf(rule, event);
    if (amount !== undefined) record(amount, attributesOf(rule.labels, event));
  };
}

function instrumentOf(
  meter: Meter,
  { name, type, unit, help, buckets }: MetricRule<unknown>,
): (amount: number, attributes: Attributes) => void {
  const described = { description: help, unit };
  if (type === "counter") {
    const counter: Counter = meter.createCounter(name, described);
    return (amount, attributes) => counter.add(amount, attributes);
  }
  if (type === "gauge") {
    const gauge: Gauge = meter.createGauge(name, described);
    return (amount, attributes) => gauge.record(amount, attributes);
  }
  const advice = { explicitBucketBoundaries: [...(buckets ?? [])] };
  const histogram: Histogram = meter.createHistogram(name, { ...described, advice });
  return (amount, attributes) => histogram.record(amount, attributes);
}

function traceWriter(tracer: Tracer, rule: TraceRule<unknown>, clock: Clock): Listener {
  const nameOf = (event: unknown): string => (typeof rule.name === "string" ? rule.name : rule.name(event));
  if (rule.as === "event")
    // A span that is not recorded takes no events: then nothing is built.
    return (event) => {
      const active = trace.getActiveSpan();
      if (active?.isRecording() === true)
        active.addEvent(nameOf(event), attributesOf(rule.attributes, event));
    };
  return (event) => {
    const endMs = clock.now();
    const span = tracer.startSpan(nameOf(event), {
      kind: SPAN_KINDS[rule.kind ?? "internal"],
      startTime: timeOf(endMs - Math.max(0, rule.durationMs?.(event) ?? 0)),
      attributes: attributesOf(rule.attributes, event),
    });
    const errorType = rule.errorType?.(event);
    if (errorType !== undefined) {
      span.setAttribute("error.type", errorType);
      span.setStatus({ code: SpanStatusCode.ERROR });
    }
    span.end(timeOf(endMs));
  };
}

// Seconds and nanoseconds: an SDK may take a plain number for one of the monotonic clock.
function timeOf(epochMs: number): HrTime {
  return [Math.floor(epochMs / 1_000), Math.floor((epochMs % 1_000) * 1e6)];
}

function attributesOf(readers: LabelReaders<unknown> | undefined, event: unknown): Attributes {
  const attributes: Attributes = {};
  for (const [label, read] of Object.entries(readers ?? {})) {
    const value = read(event);
    if (value !== undefined) attributes[label.includes(".") ? label : `holdfast.${label}`] = value;
  }
  return attributes;
}
