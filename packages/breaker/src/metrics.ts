// What the events of breakers mean in numbers and spans.
import type { MetricTable } from "@holdfast/core";
import { channelMetrics } from "@holdfast/core";
import type { BulkheadRefusedEvent } from "./bulkhead/bulkhead.ts";
import type { CircuitRefusedEvent, CircuitStateEvent } from "./circuit/contract.ts";
import type { CircuitShareEvent } from "./shared/share.ts";
import type { ThrottledEvent } from "./throttle/adaptive-throttle.ts";

/**
 * The table of this package for `prometheus` and `instrument` of core.
 *
 * @example
 * ```ts
 * import { breakerMetrics } from "@holdfast/breaker";
 * import { coreMetrics, prometheus } from "@holdfast/core";
 *
 * const numbers = prometheus({ tables: [coreMetrics, breakerMetrics] });
 * numbers.text().includes("# TYPE holdfast_breaker_changes_total counter"); // => true
 * numbers.close();
 * ```
 */
export const breakerMetrics: MetricTable = /* @__PURE__ */ makeTable();

function makeTable(): MetricTable {
  return [
    channelMetrics<CircuitStateEvent>("breaker", "state", {
      metrics: [
        {
          name: "holdfast.breaker.changes",
          type: "counter",
          unit: "{change}",
          help: "Changes of a circuit breaker's state.",
          labels: {
            breaker: ({ breaker }) => breaker,
            state: ({ to }) => to,
            reason: ({ reason }) => reason,
          },
        },
      ],
      trace: {
        as: "event",
        name: "holdfast.breaker.state",
        attributes: {
          breaker: ({ breaker }) => breaker,
          state: ({ to }) => to,
          reason: ({ reason }) => reason,
        },
      },
    }),
    channelMetrics<CircuitRefusedEvent>("breaker", "refused", {
      metrics: [
        {
          name: "holdfast.breaker.refusals",
          type: "counter",
          unit: "{call}",
          help: "Calls that were refused, or would have been if it were enforced.",
          labels: {
            breaker: ({ breaker }) => breaker,
            state: ({ state }) => state,
            enforced: ({ enforced }) => enforced,
          },
        },
      ],
      trace: {
        as: "event",
        name: "holdfast.breaker.refused",
        attributes: { breaker: ({ breaker }) => breaker, state: ({ state }) => state },
      },
    }),
    channelMetrics<CircuitShareEvent>("breaker", "share", {
      metrics: [
        {
          name: "holdfast.breaker.share.changes",
          type: "counter",
          unit: "{change}",
          help: "How often a shared circuit breaker has found or lost its fleet.",
          labels: { breaker: ({ breaker }) => breaker, status: ({ status }) => status },
        },
      ],
      trace: {
        as: "event",
        name: "holdfast.breaker.share",
        attributes: { breaker: ({ breaker }) => breaker, status: ({ status }) => status },
      },
    }),
    channelMetrics<BulkheadRefusedEvent>("breaker", "bulkhead_refused", {
      metrics: [
        {
          name: "holdfast.bulkhead.refusals",
          type: "counter",
          unit: "{call}",
          help: "Calls that a bulkhead had no room for.",
          labels: { bulkhead: ({ bulkhead }) => bulkhead, reason: ({ reason }) => reason },
        },
      ],
      trace: {
        as: "event",
        name: "holdfast.bulkhead.refused",
        attributes: { bulkhead: ({ bulkhead }) => bulkhead, reason: ({ reason }) => reason },
      },
    }),
    channelMetrics<ThrottledEvent>("breaker", "throttled", {
      metrics: [
        {
          name: "holdfast.throttle.held_back",
          type: "counter",
          unit: "{call}",
          help: "Calls that an adaptive throttle did not send.",
          labels: { throttle: ({ throttle }) => throttle, class: (event) => event.class },
        },
      ],
      trace: {
        as: "event",
        name: "holdfast.throttle.held_back",
        attributes: { throttle: ({ throttle }) => throttle, class: (event) => event.class },
      },
    }),
  ];
}
