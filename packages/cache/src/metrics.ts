// What the events of caches mean in numbers.
import type { MetricTable } from "@holdfast/core";
import { channelMetrics } from "@holdfast/core";
import type { CacheLoadEvent, CacheStoreEvent } from "./contract.ts";

/**
 * The table of this package for `prometheus` and `instrument` of core.
 *
 * @example
 * ```ts
 * import { cacheMetrics } from "@holdfast/cache";
 * import { coreMetrics, prometheus } from "@holdfast/core";
 *
 * const numbers = prometheus({ tables: [coreMetrics, cacheMetrics] });
 * numbers.text().includes("# TYPE holdfast_cache_load_duration_seconds histogram"); // => true
 * numbers.close();
 * ```
 */
export const cacheMetrics: MetricTable = /* @__PURE__ */ makeTable();

function makeTable(): MetricTable {
  return [
    channelMetrics<CacheLoadEvent>("cache", "load", {
      metrics: [
        {
          name: "holdfast.cache.load.duration",
          type: "histogram",
          unit: "s",
          help: "How long loads of a cache have taken, by why they began and how they ended.",
          buckets: [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30],
          value: ({ durationMs }) => durationMs / 1_000,
          labels: {
            cache: ({ cache }) => cache,
            reason: ({ reason }) => reason,
            outcome: ({ outcome }) => outcome,
          },
        },
      ],
    }),
    channelMetrics<CacheStoreEvent>("cache", "store", {
      metrics: [
        {
          name: "holdfast.cache.store.failures",
          type: "counter",
          unit: "{failure}",
          help: "Reads that the store of a shared cache did not answer, by what was done instead.",
          labels: { cache: ({ cache }) => cache, answer: ({ answer }) => answer },
        },
      ],
    }),
  ];
}
