// Traces through a queue with OpenTelemetry: from whoever adds a task to the handler that runs it.
import type { Attributes, Link, Span, SpanContext, TracerProvider } from "@opentelemetry/api";
import {
  context,
  createTraceState,
  isSpanContextValid,
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  trace,
} from "@opentelemetry/api";
import { errorTypeOf, optionsOf } from "@holdfast/core";
import type { TraceCarrier } from "../task/task-meta.ts";
import type { ProcessingTask, SendingTasks, TaskTracing } from "../task/task-tracing.ts";

export interface TaskTracingOptions {
  /** @defaultValue the global one, also when it is registered later */
  readonly tracerProvider?: TracerProvider;
  /**
   * How the span of a run stands to the one that added its task. `"link"`: a trace of its own that points back, as the
   * semantic conventions ask for. `"child"`: in the same trace. @defaultValue "link"
   */
  readonly relation?: "link" | "child";
}

const SCOPE = "@holdfast/queue";

/**
 * Carries W3C Trace Context with each task. Adding tasks is a span `send <queue>` of kind producer; a run is a span
 * `process <queue>` of kind consumer, which is active while the handler runs. Names follow the semantic conventions for
 * messaging. List {@link tracedQueueMetrics} beside it, rather than `queueMetrics`, which makes spans of runs as well.
 *
 * @throws InvalidOptionError when an option is not what it must be.
 *
 * @example
 * ```ts
 * import { memoryStore, queue } from "@holdfast/queue";
 * import { taskTracing } from "@holdfast/queue/otel";
 *
 * const letters = queue({ name: "letters", store: memoryStore(), tracing: taskTracing() });
 * letters.tracing !== undefined; // => true
 * ```
 */
export function taskTracing(options: TaskTracingOptions = {}): TaskTracing {
  const check = optionsOf("taskTracing");
  const relation = check.oneOf("relation", options.relation, ["link", "child"], "link");
  const provider = options.tracerProvider ?? trace.getTracerProvider();
  if (typeof provider.getTracer !== "function") check.refuse("tracerProvider", provider, "a TracerProvider");
  const tracer = provider.getTracer(SCOPE);

  const startSend = (about: SendingTasks): Span =>
    tracer.startSpan(`send ${about.queue}`, {
      kind: SpanKind.PRODUCER,
      attributes: {
        ...attributesOf("send", about),
        ...(about.id === undefined ? { "messaging.batch.message_count": about.count } : idOf(about.id)),
      },
    });
  const startProcess = (about: ProcessingTask): Span => {
    const from = about.trace === undefined ? undefined : remoteOf(about.trace);
    const isChild = relation === "child" && from !== undefined;
    const links: Link[] = from === undefined || isChild ? [] : [{ context: from }];
    const attributes = {
      ...attributesOf("process", about),
      ...idOf(about.id),
      "holdfast.attempt": about.attempt,
    };
    const parent = isChild ? trace.setSpanContext(ROOT_CONTEXT, from) : ROOT_CONTEXT;
    return tracer.startSpan(`process ${about.queue}`, { kind: SpanKind.CONSUMER, attributes, links }, parent);
  };
  return {
    sending: (about, send) => {
      const span = quietly(() => startSend(about));
      return within(span, () => send(span === undefined ? undefined : quietly(() => carrierOf(span))));
    },
    processing: (about, run) =>
      within(
        quietly(() => startProcess(about)),
        run,
      ),
  };
}

/** Works while the span is active, and ends it. The work is called once, whatever the tracer does. */
async function within<T>(span: Span | undefined, work: () => Promise<T>): Promise<T> {
  if (span === undefined) return work();
  let working: Promise<T> | undefined;
  // Also when it throws at once.
  const start = (): Promise<T> => (working ??= (async () => work())());
  quietly(() => {
    void context.with(trace.setSpan(context.active(), span), start);
  });
  try {
    const done = await start();
    quietly(() => span.end());
    return done;
  } catch (error) {
    quietly(() => {
      span.setAttribute("error.type", errorTypeOf(error) ?? "_OTHER");
      span.setStatus({ code: SpanStatusCode.ERROR });
      span.end();
    });
    throw error;
  }
}

/** A tracer's own fault must not cost the work. */
function quietly<T>(act: () => T): T | undefined {
  try {
    return act();
  } catch {
    return undefined;
  }
}

function attributesOf(
  operation: "send" | "process",
  { queue, task }: { readonly queue: string; readonly task: string },
): Attributes {
  return {
    "messaging.system": "holdfast",
    "messaging.operation.name": operation,
    "messaging.operation.type": operation,
    "messaging.destination.name": queue,
    "holdfast.task": task,
  };
}

function idOf(id: string): Attributes {
  return { "messaging.message.id": id };
}

/** W3C Trace Context, level 1. */
function carrierOf(span: Span): TraceCarrier | undefined {
  const spanContext = span.spanContext();
  if (!isSpanContextValid(spanContext)) return undefined;
  const { traceId, spanId, traceFlags, traceState } = spanContext;
  const traceparent = `00-${traceId}-${spanId}-${traceFlags.toString(16).padStart(2, "0")}`;
  const tracestate = traceState?.serialize() ?? "";
  return tracestate === "" ? { traceparent } : { traceparent, tracestate };
}

function remoteOf({ traceparent, tracestate }: TraceCarrier): SpanContext | undefined {
  const [, traceId, spanId, flags] = traceparent.split("-");
  const spanContext = {
    traceId: traceId ?? "",
    spanId: spanId ?? "",
    traceFlags: Number.parseInt(flags ?? "0", 16),
    isRemote: true,
    ...(tracestate === undefined ? {} : { traceState: createTraceState(tracestate) }),
  };
  return isSpanContextValid(spanContext) ? spanContext : undefined;
}
