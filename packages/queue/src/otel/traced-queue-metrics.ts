// The metrics of a queue whose spans are made by its tracing.
import type { MetricTable } from "@holdfast/core";
import { queueMetrics } from "../metrics.ts";

/** `queueMetrics` without its spans: for `instrument` of `@holdfast/core/otel`, where {@link taskTracing} makes them. */
export const tracedQueueMetrics: MetricTable = /* @__PURE__ */ queueMetrics.map(
  ({ trace: _, ...row }) => row,
);
