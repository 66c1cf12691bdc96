// What the events of workers mean in numbers and spans.
import type { MetricRule, MetricTable } from "@holdfast/core";
import { channelMetrics } from "@holdfast/core";
import type { QueueMeasuredEvent } from "./queue-gauges.ts";
import type { TasksAddedEvent } from "./queue/tasks-added.ts";
import type { StepEndedEvent } from "./steps/step-contract.ts";
import type { RunEndedEvent, WorkerErrorEvent } from "./worker/worker-contract.ts";

/** Upper bounds in seconds: runs take from milliseconds to minutes. */
const SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300];

/**
 * The table of this package for `prometheus` and `instrument` of core. Names follow the semantic conventions of
 * OpenTelemetry for messaging where those have one.
 *
 * @example
 * ```ts
 * import { coreMetrics, prometheus } from "@holdfast/core";
 * import { queueMetrics } from "@holdfast/queue";
 *
 * const numbers = prometheus({ tables: [coreMetrics, queueMetrics] });
 * numbers.text().includes("# TYPE messaging_process_duration_seconds histogram"); // => true
 * numbers.close();
 * ```
 */
export const queueMetrics: MetricTable = /* @__PURE__ */ makeTable();

function makeTable(): MetricTable {
  return [
    channelMetrics<RunEndedEvent>("queue", "run_ended", {
      metrics: [
        {
          name: "messaging.process.duration",
          type: "histogram",
          unit: "s",
          help: "Duration of runs of tasks.",
          labels: {
            "messaging.system": () => "holdfast",
            "messaging.operation.name": () => "process",
            "messaging.destination.name": ({ queue }) => queue,
            task: ({ task }) => task,
            settlement: ({ settlement }) => settlement,
            written: ({ written }) => written,
          },
          value: ({ durationMs }) => durationMs / 1_000,
          buckets: SECONDS,
        },
      ],
      trace: {
        as: "span",
        name: ({ queue }) => `process ${queue}`,
        kind: "consumer",
        durationMs: ({ durationMs }) => durationMs,
        attributes: {
          "messaging.message.id": ({ id }) => id,
          task: ({ task }) => task,
          attempt: ({ attempt }) => attempt,
        },
        errorType: ({ settlement }) => (settlement === "fail" ? "_OTHER" : undefined),
      },
    }),
    channelMetrics<TasksAddedEvent>("queue", "added", {
      metrics: [
        {
          name: "messaging.client.sent.messages",
          type: "counter",
          unit: "{message}",
          help: "Tasks that this process has added.",
          labels: {
            "messaging.system": () => "holdfast",
            "messaging.operation.name": () => "send",
            "messaging.destination.name": ({ queue }) => queue,
            task: ({ task }) => task,
          },
          value: ({ added }) => added,
        },
      ],
    }),
    channelMetrics<QueueMeasuredEvent>("queue", "measured", {
      metrics: [
        tasksIn("scheduled", "Tasks that wait for their time."),
        tasksIn("waiting", "Tasks that wait for an event or their children."),
        tasksIn("ready", "Tasks that could be started."),
        tasksIn("running", "Tasks that run."),
        tasksIn("failed", "Dead letters."),
        {
          name: "holdfast.queue.oldest_ready.age",
          type: "gauge",
          unit: "s",
          help: "How long the task has been there that is to be started next.",
          labels: { queue: ({ queue }) => queue },
          value: ({ oldestReadyMs }) => oldestReadyMs / 1_000,
        },
      ],
    }),
    channelMetrics<StepEndedEvent>("queue", "step_ended", {
      metrics: [
        {
          name: "holdfast.queue.step.duration",
          type: "histogram",
          unit: "s",
          help: "Duration of steps of tasks that ran.",
          labels: {
            queue: ({ queue }) => queue,
            task: ({ task }) => task,
            outcome: ({ outcome }) => outcome,
          },
          value: ({ durationMs }) => durationMs / 1_000,
          buckets: SECONDS,
        },
      ],
    }),
    channelMetrics<WorkerErrorEvent>("queue", "worker_error", {
      metrics: [
        {
          name: "holdfast.queue.worker.errors",
          type: "counter",
          unit: "{error}",
          help: "Failures of the store that workers met.",
          labels: { queue: ({ queue }) => queue, doing: ({ doing }) => doing },
        },
      ],
    }),
  ];
}

function tasksIn(
  state: "scheduled" | "waiting" | "ready" | "running" | "failed",
  help: string,
): MetricRule<QueueMeasuredEvent> {
  return {
    name: `holdfast.queue.tasks.${state}`,
    type: "gauge",
    unit: "{task}",
    help,
    labels: { queue: ({ queue }) => queue },
    value: (event) => event[state],
  };
}
