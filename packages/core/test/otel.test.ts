import { AsyncLocalStorage } from "node:async_hooks";
import type { Context, ContextManager, MeterProvider as AnyMeterProvider } from "@opentelemetry/api";
import { context, ROOT_CONTEXT, SpanKind, SpanStatusCode, trace } from "@opentelemetry/api";
import type { Histogram, MetricData } from "@opentelemetry/sdk-metrics";
import { DataPointType, MeterProvider, MetricReader } from "@opentelemetry/sdk-metrics";
import type { ReadableSpan } from "@opentelemetry/sdk-trace-base";
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  SimpleSpanProcessor,
} from "@opentelemetry/sdk-trace-base";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import type { MetricTable } from "@holdfast/core";
import {
  channel,
  channelMetrics,
  constant,
  coreMetrics,
  fallback,
  idempotency,
  InvalidOptionError,
  memoryIdempotencyStore,
  retry,
  shutdown,
  timeout,
} from "@holdfast/core";
import type { InstrumentOptions } from "@holdfast/core/otel";
import { instrument } from "@holdfast/core/otel";
import { manualClock } from "@holdfast/core/testing";

/** The SDK's own reader, read when a test asks. */
class OnDemandReader extends MetricReader {
  protected override async onShutdown(): Promise<void> {}
  protected override async onForceFlush(): Promise<void> {}
}

/** Keeps the active span across awaits, as an application's SDK set-up does. */
class AsyncContext implements ContextManager {
  readonly #storage = new AsyncLocalStorage<Context>();

  active(): Context {
    return this.#storage.getStore() ?? ROOT_CONTEXT;
  }

  with<A extends unknown[], F extends (...args: A) => ReturnType<F>>(
    active: Context,
    run: F,
    thisArg?: ThisParameterType<F>,
    ...args: A
  ): ReturnType<F> {
    return this.#storage.run(active, () => run.apply(thisArg, args));
  }

  bind<T>(_active: Context, target: T): T {
    return target;
  }

  enable(): this {
    return this;
  }

  disable(): this {
    return this;
  }
}

beforeAll(() => void context.setGlobalContextManager(new AsyncContext()));
afterAll(() => context.disable());

const open: Disposable[] = [];
afterEach(() => {
  for (const one of open.splice(0)) one[Symbol.dispose]();
});

/** Metrics by name, as the SDK has aggregated them. */
async function metricsOf(reader: MetricReader): Promise<ReadonlyMap<string, MetricData>> {
  const { resourceMetrics, errors } = await reader.collect();
  expect(errors).toEqual([]);
  const all = resourceMetrics.scopeMetrics.flatMap(({ metrics }) => metrics);
  return new Map(all.map((metric) => [metric.descriptor.name, metric]));
}

function metered(tables?: readonly MetricTable[]): MetricReader {
  const reader = new OnDemandReader();
  const meterProvider = new MeterProvider({ readers: [reader] });
  open.push(instrument({ meterProvider, tracerProvider: false, ...(tables ? { tables } : {}) }));
  return reader;
}

function traced(tables?: readonly MetricTable[], clock = manualClock()) {
  const exporter = new InMemorySpanExporter();
  const tracerProvider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] });
  open.push(instrument({ meterProvider: false, tracerProvider, clock, ...(tables ? { tables } : {}) }));
  return { exporter, tracer: tracerProvider.getTracer("test") };
}

function pointsOf(metric: MetricData | undefined): readonly (readonly [unknown, unknown])[] {
  return (metric?.dataPoints ?? []).map(({ attributes, value }) => [attributes, value]);
}

function failing(times: number): () => string {
  let calls = 0;
  return () => {
    calls += 1;
    if (calls <= times) throw new TypeError("connection to secret.example failed");
    return "done";
  };
}

describe("instrument, metrics", () => {
  it("shows a gauge as its latest event said", async () => {
    const row = channelMetrics<{ readonly open: number }>("test", "gauge", {
      metrics: [
        {
          name: "test.open",
          type: "gauge",
          unit: "{request}",
          help: "Requests now.",
          value: ({ open: now }) => now,
        },
      ],
    });
    const reader = metered([[row]]);
    for (const now of [7, 3]) channel<{ open: number }>("test", "gauge").publish({ open: now });
    const metric = (await metricsOf(reader)).get("test.open");
    expect(metric?.dataPointType).toBe(DataPointType.GAUGE);
    expect(pointsOf(metric)).toEqual([[{}, 3]]);
  });

  it("counts retries by policy and kind of error, and measures their waits in seconds in its own buckets", async () => {
    const reader = metered();
    const clock = manualClock();
    const done = retry({
      name: "db",
      attempts: 3,
      backoff: constant("200ms"),
      clock,
    }).run(failing(2));
    await clock.advance("1s");
    await expect(done).resolves.toBe("done");

    const metrics = await metricsOf(reader);
    expect(pointsOf(metrics.get("holdfast.retry.retries"))).toEqual([
      [{ "holdfast.policy": "db", "error.type": "TypeError" }, 2],
    ]);
    const delay = metrics.get("holdfast.retry.delay");
    expect(delay?.descriptor).toMatchObject({ unit: "s", description: "Wait before the next try." });
    expect(delay?.dataPointType).toBe(DataPointType.HISTOGRAM);
    const { sum, count, buckets } = delay!.dataPoints[0]!.value as Histogram;
    expect({ sum, count }).toEqual({ sum: 0.4, count: 2 });
    const advised = coreMetrics
      .flatMap((row) => row.metrics)
      .find(({ name }) => name === "holdfast.retry.delay");
    expect(buckets.boundaries).toEqual(advised?.buckets);
    expect(buckets.counts[buckets.boundaries.indexOf(0.25)]).toBe(2);
  });

  it("counts calls that were given up, timed out or answered with a fallback", async () => {
    const reader = metered();
    const clock = manualClock();
    await expect(retry({ name: "db", attempts: 1 }).run(failing(9))).rejects.toThrow(TypeError);
    const late = timeout("1s", { name: "slow", clock }).run(({ signal }) => rejectedWhenAborted(signal));
    const told = expect(late).rejects.toMatchObject({ code: "TIMEOUT" });
    await clock.advance("1s");
    await told;
    await fallback("nobody", { name: "profile" }).run(failing(1));

    const metrics = await metricsOf(reader);
    expect(pointsOf(metrics.get("holdfast.retry.exhausted"))).toEqual([
      [{ "holdfast.policy": "db", "holdfast.reason": "attempts" }, 1],
    ]);
    expect(pointsOf(metrics.get("holdfast.timeout.expired"))).toEqual([[{ "holdfast.policy": "slow" }, 1]]);
    expect(pointsOf(metrics.get("holdfast.fallback.used"))).toEqual([
      [{ "holdfast.policy": "profile", "error.type": "TypeError" }, 1],
    ]);
  });

  it("counts shutdowns and the hooks that failed", async () => {
    const reader = metered();
    const ending = shutdown({ signals: [] });
    ending.onShutdown("good", () => {});
    ending.onShutdown("bad", () => {
      throw new Error("no");
    });
    await ending.trigger("a reason of the moment");
    const metrics = await metricsOf(reader);
    expect(pointsOf(metrics.get("holdfast.shutdown.runs"))).toEqual([[{ "holdfast.clean": false }, 1]]);
    expect(pointsOf(metrics.get("holdfast.shutdown.unclean_hooks"))).toEqual([[{}, 1]]);
  });

  it("keeps keys, scopes and messages out of labels, however many there are", async () => {
    const reader = metered();
    const payments = idempotency({ store: memoryIdempotencyStore(), scope: "payments" });
    for (let n = 0; n < 50; n += 1)
      await payments.run({ scope: `tenant-${n}`, key: `key-${n}`, body: { n } }, () => n);
    const steps = pointsOf((await metricsOf(reader)).get("holdfast.idempotency.steps"));
    expect(steps).toEqual([
      [{ "holdfast.step": "acquired" }, 50],
      [{ "holdfast.step": "completed" }, 50],
    ]);
  });

  it("takes tables of other packages", async () => {
    const reader = metered([cacheTable]);
    channel<Evicted>("cache", "evicted").publish({ cache: "users", bytes: 100, key: "user:1" });
    const metrics = await metricsOf(reader);
    expect(pointsOf(metrics.get("holdfast.cache.evicted_bytes"))).toEqual([
      [{ "holdfast.cache": "users" }, 100],
    ]);
  });

  it("uses the global providers when none is given, and does nothing while there are none", async () => {
    open.push(instrument());
    await expect(fallback("nobody").run(failing(1))).resolves.toBe("nobody");
  });
});

describe("instrument, traces", () => {
  it("tells what the policies did on the span that is active in the call", async () => {
    const { exporter, tracer } = traced();
    await tracer.startActiveSpan("request", async (span) => {
      const clock = manualClock();
      const calls = retry({
        name: "db",
        attempts: 2,
        backoff: constant("50ms"),
        clock,
      });
      const done = calls.run(failing(1));
      await clock.advance("1s");
      await done;
      span.end();
    });
    const [request] = exporter.getFinishedSpans();
    expect(request?.events.map(({ name, attributes }) => ({ name, attributes }))).toEqual([
      {
        name: "holdfast.retry",
        attributes: {
          "holdfast.policy": "db",
          "holdfast.attempt": 1,
          "holdfast.delay_ms": 50,
          "error.type": "TypeError",
        },
      },
    ]);
  });

  it("makes a span of an event that tells how long something took, below the active span", () => {
    const clock = manualClock(1_000_000);
    const { exporter, tracer } = traced([runTable], clock);
    const ended = channel<RunEnded>("test", "run_ended");
    tracer.startActiveSpan("request", (span) => {
      ended.publish({ task: "resize", id: "t-1", durationMs: 250 });
      ended.publish({ task: "resize", id: "t-2", durationMs: 10, failure: "TIMEOUT" });
      span.end();
    });
    const [good, bad, request] = exporter.getFinishedSpans();
    expect(good).toMatchObject({ name: "process resize", kind: SpanKind.CONSUMER, status: { code: 0 } });
    expect(good?.attributes).toEqual({ "messaging.message.id": "t-1" });
    expect(millis(good!.endTime)).toBe(1_000_000);
    expect(millis(good!.startTime)).toBe(999_750);
    expect(good?.parentSpanContext?.spanId).toBe(request?.spanContext().spanId);
    expect(bad?.status.code).toBe(SpanStatusCode.ERROR);
    expect(bad?.attributes).toEqual({ "messaging.message.id": "t-2", "error.type": "TIMEOUT" });
  });

  it("builds nothing where no span is active, or one that is not sampled", () => {
    const read = vi.fn(() => "value");
    const table = channelMetrics("test", "unseen", {
      metrics: [],
      trace: { as: "event", name: "unseen", attributes: { read } },
    });
    const { tracer } = traced([[table]]);
    const publish = (): void => channel<object>("test", "unseen").publish({});
    publish();
    const unsampled = trace.wrapSpanContext({
      traceId: "1".repeat(32),
      spanId: "2".repeat(16),
      traceFlags: 0,
    });
    context.with(trace.setSpan(context.active(), unsampled), publish);
    expect(read).not.toHaveBeenCalled();
    tracer.startActiveSpan("sampled", publish);
    expect(read).toHaveBeenCalledOnce();
  });
});

describe("instrument, at its edges", () => {
  it("listens to every channel of its tables, and to none once it is stopped", () => {
    const instrumentation = instrument({ meterProvider: new MeterProvider() });
    const listened = coreMetrics.map(({ owner, event }) => channel(owner, event));
    expect(instrumentation.channels).toEqual(listened.map(({ name }) => name));
    expect(listened.map(({ hasSubscribers }) => hasSubscribers)).not.toContain(false);
    instrumentation.stop();
    instrumentation.stop();
    expect(listened.map(({ hasSubscribers }) => hasSubscribers)).not.toContain(true);
    {
      using again = instrument({ meterProvider: new MeterProvider() });
      expect(again.channels.length).toBeGreaterThan(0);
    }
    expect(listened.map(({ hasSubscribers }) => hasSubscribers)).not.toContain(true);
  });

  it.each([
    [{ meterProvider: {} }, "meterProvider"],
    [{ meterProvider: null }, "meterProvider"],
    [{ tracerProvider: true }, "tracerProvider"],
    [{ tables: coreMetrics[0] }, "tables"],
    [{ tables: [[{ event: "retry" }]] }, "tables"],
    [{ tables: [cacheTable, cacheTable] }, "tables"],
  ])("refuses %j and listens to nothing", (options, option) => {
    const make = (): unknown => instrument(options as unknown as InstrumentOptions);
    expect(make).toThrow(InvalidOptionError);
    expect(make).toThrow(`"${option}"`);
    expect(coreMetrics.map(({ owner, event }) => channel(owner, event).hasSubscribers)).not.toContain(true);
  });

  it("has no event built once it is stopped", async () => {
    const reader = metered();
    open.splice(0)[0]?.[Symbol.dispose]();
    const published = vi.spyOn(
      Object.getPrototypeOf(channel("test", "any")) as { publish(): void },
      "publish",
    );
    await fallback("nobody").run(failing(1));
    expect(published).not.toHaveBeenCalled();
    published.mockRestore();
    expect((await metricsOf(reader)).size).toBe(0);
  });

  it("[bug 5] a meter or a table that throws changes no outcome, and costs no other metric", async () => {
    const reader = metered([
      [
        channelMetrics<object>("core", "fallback", {
          metrics: [
            {
              name: "test.broken",
              type: "counter",
              unit: "{call}",
              help: "Throws.",
              labels: {
                broken: () => {
                  throw new Error("reader");
                },
              },
            },
            { name: "test.sound", type: "counter", unit: "{call}", help: "Counts." },
          ],
        }),
      ],
    ]);
    const brokenMeter = {
      getMeter: () => ({
        createCounter: () => ({
          add: () => {
            throw new Error("meter");
          },
        }),
        createHistogram: () => ({ record: () => {} }),
      }),
    } as unknown as AnyMeterProvider;
    open.push(instrument({ meterProvider: brokenMeter }));
    await expect(fallback("nobody").run(failing(1))).resolves.toBe("nobody");
    expect([...(await metricsOf(reader)).keys()]).toEqual(["test.sound"]);
  });
});

interface Evicted {
  readonly cache: string;
  readonly bytes: number;
  readonly key: string;
}

const cacheTable: MetricTable = [
  channelMetrics<Evicted>("cache", "evicted", {
    metrics: [
      {
        name: "holdfast.cache.evicted_bytes",
        type: "counter",
        unit: "By",
        help: "Bytes dropped to make room.",
        labels: { cache: ({ cache }) => cache },
        value: ({ bytes }) => bytes,
      },
    ],
  }),
];

interface RunEnded {
  readonly task: string;
  readonly id: string;
  readonly durationMs: number;
  readonly failure?: string;
}

const runTable: MetricTable = [
  channelMetrics<RunEnded>("test", "run_ended", {
    metrics: [],
    trace: {
      as: "span",
      name: ({ task }) => `process ${task}`,
      kind: "consumer",
      durationMs: ({ durationMs }) => durationMs,
      attributes: { "messaging.message.id": ({ id }) => id },
      errorType: ({ failure }) => failure,
    },
  }),
];

function millis([seconds, nanos]: ReadableSpan["startTime"]): number {
  return seconds * 1_000 + nanos / 1e6;
}

function rejectedWhenAborted(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason as Error), { once: true });
  });
}
