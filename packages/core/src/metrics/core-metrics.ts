// What core's own events mean in numbers and on spans.
import type { HealthEvent } from "../health/health.ts";
import type { IdempotencyEvent } from "../idempotency/contract.ts";
import type { ShutdownReport } from "../lifecycle/shutdown.ts";
import type { ChaosEvent } from "../policies/chaos.ts";
import type { FallbackEvent } from "../policies/fallback.ts";
import type { HedgeDeniedEvent, HedgeEvent, HedgeSettledEvent } from "../policies/hedge.ts";
import type { PipelineWarningEvent } from "../policies/pipeline.ts";
import type { RetryEvent, RetryExhaustedEvent } from "../policies/retry.ts";
import type { TimeoutEvent } from "../policies/timeout.ts";
import { errorTypeOf } from "./error-type.ts";
import type { MetricTable } from "./metric-table.ts";
import { channelMetrics } from "./metric-table.ts";

/** Upper bounds in seconds, from 5 ms to 1 min: waits between tries and before hedges. */
const WAIT_BUCKETS_S = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

interface OfPolicy {
  readonly policy: string;
}

const byPolicy = { policy: ({ policy }: OfPolicy): string => policy };

/**
 * The metrics and span events of core's channels. No label tells a key, a scope, a URL or a message: policies are
 * told apart by name, errors by kind.
 */
export const coreMetrics: MetricTable = /* @__PURE__ */ rows();

function rows(): MetricTable {
  return [...retryRows(), ...hedgeRows(), ...policyRows(), ...lifecycleRows()];
}

function retryRows(): MetricTable {
  return [
    channelMetrics<RetryEvent>("core", "retry", {
      metrics: [
        {
          name: "holdfast.retry.retries",
          type: "counter",
          unit: "{retry}",
          help: "Tries that failed and are followed by another.",
          labels: { ...byPolicy, "error.type": errorType },
        },
        {
          name: "holdfast.retry.delay",
          type: "histogram",
          unit: "s",
          help: "Wait before the next try.",
          labels: byPolicy,
          value: ({ delayMs }) => delayMs / 1_000,
          buckets: WAIT_BUCKETS_S,
        },
      ],
      trace: {
        as: "event",
        name: "holdfast.retry",
        attributes: {
          ...byPolicy,
          attempt: ({ attempt }) => attempt,
          delay_ms: ({ delayMs }) => delayMs,
          "error.type": errorType,
        },
      },
    }),
    channelMetrics<RetryExhaustedEvent>("core", "retry_exhausted", {
      metrics: [
        {
          name: "holdfast.retry.exhausted",
          type: "counter",
          unit: "{call}",
          help: "Failed calls that were given up.",
          labels: { ...byPolicy, reason: ({ reason }) => reason },
        },
      ],
      trace: {
        as: "event",
        name: "holdfast.retry_exhausted",
        attributes: {
          ...byPolicy,
          reason: ({ reason }) => reason,
          attempts: ({ attempts }) => attempts,
          "error.type": errorType,
        },
      },
    }),
  ];
}

function hedgeRows(): MetricTable {
  return [
    channelMetrics<HedgeEvent>("core", "hedge", {
      metrics: [
        {
          name: "holdfast.hedge.runs",
          type: "counter",
          unit: "{run}",
          help: "Extra runs that were started.",
          labels: { ...byPolicy, because: ({ because }) => because },
        },
        {
          name: "holdfast.hedge.delay",
          type: "histogram",
          unit: "s",
          help: "Time from the start of a call to an extra run of it.",
          labels: byPolicy,
          value: ({ afterMs }) => afterMs / 1_000,
          buckets: WAIT_BUCKETS_S,
        },
      ],
      trace: {
        as: "event",
        name: "holdfast.hedge",
        attributes: { ...byPolicy, hedge: ({ hedge }) => hedge, because: ({ because }) => because },
      },
    }),
    channelMetrics<HedgeDeniedEvent>("core", "hedge_denied", {
      metrics: [
        {
          name: "holdfast.hedge.denied",
          type: "counter",
          unit: "{run}",
          help: "Extra runs that were due and not allowed.",
          labels: { ...byPolicy, by: ({ by }) => by },
        },
      ],
      trace: { as: "event", name: "holdfast.hedge_denied", attributes: { ...byPolicy, by: ({ by }) => by } },
    }),
    channelMetrics<HedgeSettledEvent>("core", "hedge_settled", {
      metrics: [
        {
          name: "holdfast.hedge.settled",
          type: "counter",
          unit: "{call}",
          help: "Hedged calls that ended, by who answered first: the first run, an extra one, or none.",
          labels: { ...byPolicy, winner: hedgeWinner },
        },
      ],
      trace: {
        as: "event",
        name: "holdfast.hedge_settled",
        attributes: { ...byPolicy, winner: hedgeWinner, hedges: ({ hedges }) => hedges },
      },
    }),
  ];
}

function policyRows(): MetricTable {
  return [
    channelMetrics<TimeoutEvent>("core", "timeout", {
      metrics: [
        {
          name: "holdfast.timeout.expired",
          type: "counter",
          unit: "{call}",
          help: "Calls whose time was up.",
          labels: byPolicy,
        },
      ],
      trace: {
        as: "event",
        name: "holdfast.timeout",
        attributes: {
          ...byPolicy,
          attempt: ({ attempt }) => attempt,
          timeout_ms: ({ timeoutMs }) => timeoutMs,
        },
      },
    }),
    channelMetrics<FallbackEvent>("core", "fallback", {
      metrics: [
        {
          name: "holdfast.fallback.used",
          type: "counter",
          unit: "{call}",
          help: "Failed calls that were answered with a fallback.",
          labels: { ...byPolicy, "error.type": errorType },
        },
      ],
      trace: {
        as: "event",
        name: "holdfast.fallback",
        attributes: { ...byPolicy, attempt: ({ attempt }) => attempt, "error.type": errorType },
      },
    }),
    channelMetrics<PipelineWarningEvent>("core", "pipeline_warning", {
      metrics: [
        {
          name: "holdfast.pipeline.warnings",
          type: "counter",
          unit: "{warning}",
          help: "Doubts about the order of a pipeline's layers, when it was made.",
          labels: { code: ({ code }) => code, level: ({ level }) => level },
        },
      ],
    }),
    channelMetrics<ChaosEvent>("core", "chaos", {
      metrics: [
        {
          name: "holdfast.chaos.disturbances",
          type: "counter",
          unit: "{call}",
          help: "Calls that were disturbed on purpose.",
          labels: { ...byPolicy, disturbance: ({ disturbance }) => disturbance },
        },
      ],
      trace: {
        as: "event",
        name: "holdfast.chaos",
        attributes: { ...byPolicy, disturbance: ({ disturbance }) => disturbance },
      },
    }),
  ];
}

function lifecycleRows(): MetricTable {
  return [
    channelMetrics<IdempotencyEvent>("core", "idempotency", {
      metrics: [
        {
          name: "holdfast.idempotency.steps",
          type: "counter",
          unit: "{step}",
          help: "Steps of calls under an idempotency key: how they began, how they ended, failures of the store.",
          labels: { step: ({ step }) => step, "error.type": errorType },
        },
      ],
      trace: {
        as: "event",
        name: "holdfast.idempotency",
        attributes: { step: ({ step }) => step, "error.type": errorType },
      },
    }),
    channelMetrics<HealthEvent>("core", "health", {
      metrics: [
        {
          name: "holdfast.health.changes",
          type: "counter",
          unit: "{change}",
          help: "Changes of a dependency's status, the first one known among them.",
          labels: { dependency: ({ dependency }) => dependency, status: ({ status }) => status },
        },
      ],
    }),
    channelMetrics<ShutdownReport>("core", "shutdown", {
      metrics: [
        {
          name: "holdfast.shutdown.runs",
          type: "counter",
          unit: "{shutdown}",
          help: "Shutdowns that ended, by whether every hook ended well and in time.",
          labels: { clean: ({ clean }) => clean },
        },
        {
          name: "holdfast.shutdown.unclean_hooks",
          type: "counter",
          unit: "{hook}",
          help: "Shutdown hooks that failed or were cut.",
          value: ({ hooks }) => hooks.filter(({ status }) => status !== "done").length,
        },
      ],
    }),
  ];
}

function errorType({ error }: { readonly error?: unknown }): string | undefined {
  return errorTypeOf(error);
}

function hedgeWinner({ winner }: HedgeSettledEvent): string {
  if (winner === undefined) return "none";
  return winner === 0 ? "first" : "hedge";
}
