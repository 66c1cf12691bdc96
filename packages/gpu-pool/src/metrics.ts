// What the events of pools mean in numbers and spans.
import type { MetricTable } from "@holdfast/core";
import { channelMetrics } from "@holdfast/core";
import type { DeviceEvent, RequestEvent } from "./observe.ts";

/** Upper bounds in seconds: models run from milliseconds to minutes. */
const SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300];

/**
 * The table of this package for `prometheus` and `instrument` of core.
 *
 * @example
 * ```ts
 * import { coreMetrics, prometheus } from "@holdfast/core";
 * import { gpuPoolMetrics } from "@holdfast/gpu-pool";
 *
 * const numbers = prometheus({ tables: [coreMetrics, gpuPoolMetrics] });
 * numbers.text().includes("# TYPE holdfast_gpu_pool_request_wait_seconds histogram"); // => true
 * numbers.close();
 * ```
 */
export const gpuPoolMetrics: MetricTable = /* @__PURE__ */ makeTable();

function makeTable(): MetricTable {
  return [
    channelMetrics<RequestEvent>("gpu-pool", "request", {
      metrics: [
        {
          name: "holdfast.gpu_pool.request.duration",
          type: "histogram",
          unit: "s",
          help: "Time requests ran on a device.",
          labels: {
            pool: ({ pool }) => pool,
            model: ({ model }) => model,
            outcome: ({ outcome }) => outcome,
          },
          value: ({ ranMs }) => ranMs / 1_000,
          buckets: SECONDS,
        },
        {
          name: "holdfast.gpu_pool.request.wait",
          type: "histogram",
          unit: "s",
          help: "Time requests waited for a device.",
          labels: { pool: ({ pool }) => pool, model: ({ model }) => model },
          value: ({ waitedMs }) => waitedMs / 1_000,
          buckets: SECONDS,
        },
      ],
      trace: {
        as: "span",
        name: ({ model }) => `run ${model}`,
        durationMs: ({ ranMs }) => ranMs,
        attributes: { pool: ({ pool }) => pool, device: ({ device }) => device },
        errorType: ({ outcome }) => (outcome === "succeeded" ? undefined : outcome),
      },
    }),
    channelMetrics<DeviceEvent>("gpu-pool", "device", {
      metrics: [
        {
          name: "holdfast.gpu_pool.device.changes",
          type: "counter",
          unit: "{change}",
          help: "Changes of a device's status.",
          labels: {
            pool: ({ pool }) => pool,
            device: ({ device }) => device,
            status: ({ status }) => status,
          },
        },
      ],
    }),
  ];
}
