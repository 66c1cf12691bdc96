// What the events of limiters mean in numbers and spans.
import type { MetricTable } from "@holdfast/core";
import { channelMetrics } from "@holdfast/core";
import type { RateLimitDecisionEvent, RateLimitStoreEvent, RateLimitWaitedEvent } from "./contract.ts";

/**
 * The table of this package for `prometheus` and `instrument` of core.
 *
 * @example
 * ```ts
 * import { coreMetrics, prometheus } from "@holdfast/core";
 * import { rateLimitMetrics } from "@holdfast/ratelimit";
 *
 * const numbers = prometheus({ tables: [coreMetrics, rateLimitMetrics] });
 * numbers.text().includes("# TYPE holdfast_ratelimit_decisions_total counter"); // => true
 * numbers.close();
 * ```
 */
export const rateLimitMetrics: MetricTable = /* @__PURE__ */ makeTable();

function makeTable(): MetricTable {
  return [
    channelMetrics<RateLimitDecisionEvent>("ratelimit", "decision", {
      metrics: [
        {
          name: "holdfast.ratelimit.decisions",
          type: "counter",
          unit: "{decision}",
          help: "Decisions of a rate limiter, by the limit that decided.",
          labels: {
            limiter: ({ limiter }) => limiter,
            limit: ({ limit }) => limit,
            allowed: ({ allowed }) => allowed,
            enforced: ({ enforced }) => enforced,
          },
        },
      ],
    }),
    channelMetrics<RateLimitWaitedEvent>("ratelimit", "waited", {
      metrics: [
        {
          name: "holdfast.ratelimit.wait",
          type: "histogram",
          unit: "s",
          help: "How long callers have waited for their turn, by how that ended.",
          buckets: [0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60],
          value: ({ waitedMs }) => waitedMs / 1_000,
          labels: { limiter: ({ limiter }) => limiter, outcome: ({ outcome }) => outcome },
        },
      ],
    }),
    channelMetrics<RateLimitStoreEvent>("ratelimit", "store", {
      metrics: [
        {
          name: "holdfast.ratelimit.store.failures",
          type: "counter",
          unit: "{failure}",
          help: "Questions that the store of a rate limiter could not be asked, by what was done instead.",
          labels: { limiter: ({ limiter }) => limiter, answer: ({ answer }) => answer },
        },
      ],
    }),
  ];
}
