import { AsyncLocalStorage } from "node:async_hooks";
import type { Context, ContextManager } from "@opentelemetry/api";
import { context, createTraceState, ROOT_CONTEXT, SpanKind, SpanStatusCode, trace } from "@opentelemetry/api";
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  SimpleSpanProcessor,
} from "@opentelemetry/sdk-trace-base";
import type { TaskTracing } from "@holdfast/queue";
import { defineTask, handle, queueMetrics } from "@holdfast/queue";
import { schedule, scheduler } from "@holdfast/queue/cron";
import { taskTracing, tracedQueueMetrics } from "@holdfast/queue/otel";
import { instrument } from "@holdfast/core/otel";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { bench, rejection } from "./bench.ts";

class AsyncContext implements ContextManager {
  readonly #storage = new AsyncLocalStorage<Context>();
  active = (): Context => this.#storage.getStore() ?? ROOT_CONTEXT;
  with: ContextManager["with"] = (active, work, self, ...args) =>
    this.#storage.run(active, () => work.apply(self as never, args));
  bind: ContextManager["bind"] = (_, target) => target;
  enable = (): this => this;
  disable = (): this => this;
}

const exporter = new InMemorySpanExporter();
const tracerProvider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] });
const job = defineTask<string, string, string>({ name: "job", attempts: 1 });
const traceId = "0af7651916cd43dd8448eb211c80319c";

beforeAll(() => void context.setGlobalContextManager(new AsyncContext()));
afterAll(() => context.disable());
beforeEach(() => exporter.reset());

function spans(name: string) {
  return exporter.getFinishedSpans().filter((span) => span.name === name);
}

describe("a task's trace", () => {
  it("leads from whoever adds it to its run, in a trace of its own that points back", async () => {
    const { queue, work, settle } = bench({ tracing: taskTracing({ tracerProvider }) });
    let active: string | undefined;
    await using _ = work([
      handle(job, async ({ input }) => {
        await Promise.resolve();
        active = trace.getActiveSpan()?.spanContext().spanId;
        return input;
      }),
    ]);
    const { id } = await queue.enqueue(job, "x");
    await queue.wait(job, id);
    await settle();
    const [send] = spans("send bench");
    const [run] = spans("process bench");
    expect(send).toMatchObject({ kind: SpanKind.PRODUCER });
    expect(send!.attributes).toEqual({
      "messaging.system": "holdfast",
      "messaging.operation.name": "send",
      "messaging.operation.type": "send",
      "messaging.destination.name": "bench",
      "messaging.message.id": id,
      "holdfast.task": "job",
    });
    expect(run).toMatchObject({ kind: SpanKind.CONSUMER, parentSpanContext: undefined });
    expect(run!.attributes).toMatchObject({ "messaging.message.id": id, "holdfast.attempt": 1 });
    expect(run!.links.map((link) => link.context.spanId)).toEqual([send!.spanContext().spanId]);
    expect(run!.spanContext().traceId).not.toBe(send!.spanContext().traceId);
    expect(active).toBe(run!.spanContext().spanId);
  });

  it("is one with its sender's where that is wanted, with the state of its vendors", async () => {
    const tracing = taskTracing({ tracerProvider, relation: "child" });
    const { queue, work, settle } = bench({ tracing });
    const parent = {
      traceId,
      spanId: "b7ad6b7169203331",
      traceFlags: 1,
      traceState: createTraceState("acme=1"),
    };
    const { id } = await context.with(trace.setSpanContext(ROOT_CONTEXT, parent), () =>
      queue.enqueue(job, "x"),
    );
    await using _ = work([handle(job, ({ input }) => input)]);
    await queue.wait(job, id);
    await settle();
    const [send] = spans("send bench");
    const [run] = spans("process bench");
    expect([send, run].map((span) => span!.spanContext().traceId)).toEqual([traceId, traceId]);
    expect(run!.parentSpanContext?.spanId).toBe(send!.spanContext().spanId);
    expect(run!.spanContext().traceState?.serialize()).toBe("acme=1");
    expect(run!.links).toEqual([]);
  });

  it("is told of how many were added at once, and that a run failed", async () => {
    const { queue, work, settle } = bench({ tracing: taskTracing({ tracerProvider }) });
    await using _ = work([
      handle(job, () => {
        throw new RangeError("no");
      }),
    ]);
    await queue.enqueueMany(job, [{ input: "a" }, { input: "b" }]);
    await settle();
    expect(spans("send bench")[0]!.attributes["messaging.batch.message_count"]).toBe(2);
    expect(spans("process bench")).toHaveLength(2);
    expect(spans("process bench")[0]).toMatchObject({
      status: { code: SpanStatusCode.ERROR },
      attributes: { "error.type": "RangeError" },
    });
    await queue.close();
    expect(await rejection(queue.enqueue(job, "late"))).toMatchObject({ code: "CLOSED" });
  });

  it("begins with the scheduler for one that is added by itself", async () => {
    const { queue, work, clock } = bench({ tracing: taskTracing({ tracerProvider }) });
    await using _ = work([handle(job, ({ input }) => input)]);
    await using clockwork = scheduler(queue, [schedule({ key: "tick", every: "1m", task: job, input: "x" })]);
    await clock.advance("1m");
    expect(clockwork.snapshot()).toHaveLength(1);
    expect(spans("process bench")[0]?.links[0]?.context.spanId).toBe(
      spans("send bench")[0]!.spanContext().spanId,
    );
  });

  it("ends with the run of one that waits in its middle, and goes on with the next", async () => {
    const { queue, work, clock, settle } = bench({ tracing: taskTracing({ tracerProvider }) });
    await using _ = work([
      handle(job, async ({ input, step }) => {
        await step.sleep("a while", "1h");
        return input;
      }),
    ]);
    const { id } = await queue.enqueue(job, "x");
    await settle();
    expect(spans("process bench")).toHaveLength(1);
    await clock.advance("1h");
    await queue.wait(job, id);
    await settle();
    const runs = spans("process bench");
    expect(new Set(runs.map((span) => span.links[0]?.context.spanId)).size).toBe(1);
    expect(runs).toHaveLength(2);
  });

  it("is not needed: a task without one, or with a broken one, is run all the same", async () => {
    const { queue, store, work, settle } = bench();
    const traced = bench({ store, tracing: taskTracing({ tracerProvider }) });
    const { id } = await queue.enqueue(job, "x");
    const [made] = [{ id: "raw", name: "job", input: { text: '"x"', blobs: [] }, delayMs: 0, priority: 0 }];
    const limits = { maxAttempts: 1, maxLeaseLosses: 1, keepMs: 60_000, keepFailedMs: 60_000 };
    await store.enqueue("bench", [{ ...made!, ...limits, meta: '{"tp":"zz","v":"x"' }], { limit: 10 });
    await using _ = traced.work([handle(job, ({ input }) => input)]);
    expect(await queue.wait(job, id)).toBe("x");
    expect(await queue.wait(job, "raw")).toBe("x");
    await settle();
    expect(spans("process bench").map(({ links }) => links)).toEqual([[], []]);
    expect(work).toBeDefined();
  });

  it("costs no task when the tracer fails, and runs its handler once", async () => {
    const broken = {
      getTracer: () => ({
        startSpan: () => {
          throw new Error("no spans");
        },
      }),
    } as never;
    const halfBroken = {
      getTracer: () => ({ startSpan: () => ({ spanContext: () => ({}) }) }),
    } as never;
    for (const provider of [broken, halfBroken]) {
      const { queue, work } = bench({ tracing: taskTracing({ tracerProvider: provider }) });
      let runs = 0;
      await using _ = work([
        handle(job, () => {
          runs += 1;
          throw new Error("once");
        }),
      ]);
      const { id } = await queue.enqueue(job, "x");
      expect(await rejection(queue.wait(job, id))).toMatchObject({ code: "TASK_FAILED" });
      expect(runs).toBe(1);
    }
  });

  it("refuses what is no provider", () => {
    expect(() => taskTracing({ tracerProvider: {} as never })).toThrow(/tracerProvider/);
    expect(() => taskTracing({ relation: "friend" as never })).toThrow(/relation/);
  });
});

describe("the spans of runs", () => {
  it("are made once, with the table that leaves them to the tracing", async () => {
    const instrumentation = instrument({
      tables: [tracedQueueMetrics],
      tracerProvider,
      meterProvider: false,
    });
    const { queue, work, settle } = bench({ tracing: taskTracing({ tracerProvider }) });
    await using _ = work([handle(job, ({ input }) => input)]);
    await queue.enqueue(job, "x");
    await settle();
    instrumentation.stop();
    expect(spans("process bench")).toHaveLength(1);
    expect(tracedQueueMetrics.map(({ metrics }) => metrics)).toEqual(
      queueMetrics.map(({ metrics }) => metrics),
    );
  });
});

describe("any tracing", () => {
  it("is handed what is sent and what is run", async () => {
    const seen: unknown[] = [];
    const tracing: TaskTracing = {
      sending: (about, send) => (
        seen.push(about),
        send({ traceparent: `00-${traceId}-b7ad6b7169203331-00` })
      ),
      processing: (about, run) => (seen.push(about), run()),
    };
    const { queue, work } = bench({ tracing });
    await using _ = work([handle(job, ({ input }) => input)]);
    const { id } = await queue.enqueue(job, "x");
    await queue.wait(job, id);
    expect(seen).toEqual([
      { queue: "bench", task: "job", count: 1, id },
      {
        queue: "bench",
        task: "job",
        id,
        attempt: 1,
        trace: { traceparent: `00-${traceId}-b7ad6b7169203331-00` },
      },
    ]);
  });
});
