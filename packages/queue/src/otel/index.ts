// @holdfast/queue/otel: traces through a queue. Needs the peer @opentelemetry/api.
export type { TaskTracingOptions } from "./task-tracing.ts";
export { taskTracing } from "./task-tracing.ts";
export { tracedQueueMetrics } from "./traced-queue-metrics.ts";
