// Retry storm: a server hangs for ten seconds; do its callers' retries let it come back?
import { exponential, pipeline, retry, retryBudget, timeout } from "@holdfast/core";
import { amplification, mean, timeToRecover } from "../meter.mjs";
import { simulate } from "../world.mjs";

const OUTAGE = { from: 20, to: 30 };

/** 100 calls/s on a server that can do 130; a full queue is 1.5 s of work, and a caller waits 1 s. */
const WORLD = {
  seed: 1,
  seconds: 90,
  clients: 4,
  callsPerSecond: 100,
  server: { workers: 13, serviceMs: 100, queue: 200 },
  events: [
    { at: OUTAGE.from, change: (server) => server.hang() },
    { at: OUTAGE.to, change: (server) => server.resume() },
  ],
};

/** @param {Partial<import("../world.mjs").World>} [changes] */
export async function retryStorm(changes) {
  const world = { ...WORLD, ...changes };
  const tries = ({ clock, random }, budget) =>
    pipeline(
      retry({ attempts: 4, backoff: exponential({ base: 100, cap: "1s" }), budget, clock, random }),
      timeout("1s", { clock }),
    );
  const without = await simulate(world, (tools) => tries(tools));
  const withBudget = await simulate(world, (tools) =>
    tries(tools, retryBudget({ ratio: 0.1, minPerSecond: 1, clock: tools.clock })),
  );
  const noRetry = await simulate(world, ({ clock }) => timeout("1s", { clock }));

  const figures = (measured) => ({
    amplification: amplification(measured, OUTAGE.from, OUTAGE.to),
    amplificationAfter: amplification(measured, OUTAGE.to, world.seconds),
    timeToRecover: timeToRecover(measured, OUTAGE.to),
    goodputAfter: mean(measured.goodput, OUTAGE.to, world.seconds),
  });
  return {
    figures: { without: figures(without), withBudget: figures(withBudget), noRetry: figures(noRetry) },
    chart: {
      title: "Retry storm: the outage ends at 30 s, the storm does not",
      subtitle: "100 calls/s on a server that can do 130; timeout 1 s, 4 tries, full jitter",
      bands: [{ ...OUTAGE, label: "server hangs" }],
      panels: [
        {
          title: "Goodput, answered calls per second",
          series: [
            { name: "retry, no budget", values: without.goodput },
            { name: "retry, budget of 10 %", values: withBudget.goodput },
            { name: "no retry", values: noRetry.goodput },
          ],
        },
        {
          title: "Offered load, requests per second",
          series: [
            { name: "retry, no budget", values: without.offered },
            { name: "retry, budget of 10 %", values: withBudget.offered },
            { name: "no retry", values: noRetry.offered },
          ],
          level: { value: 130, label: "capacity" },
        },
      ],
    },
  };
}
