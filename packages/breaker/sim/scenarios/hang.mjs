// A hanging dependency: calls that wait for it hold places that calls to a healthy one need.
import { circuitBreaker, consecutive } from "@holdfast/breaker";
import { pipeline, timeout } from "@holdfast/core";
import { mean, timeToRecover } from "../meter.mjs";
import { simulate } from "../world.mjs";

const OUTAGE = { from: 20, to: 50 };

/** Half of 100 calls/s go to each of two servers; four clients have 15 places each, and need 2 on a good day. */
const WORLD = {
  seed: 1,
  seconds: 80,
  clients: 4,
  callsPerSecond: 100,
  server: { workers: 10, serviceMs: 100, queue: 1_000 },
  neighbour: {
    share: 0.5,
    server: { workers: 10, serviceMs: 50, queue: 1_000 },
    places: 15,
    patienceMs: 1_000,
  },
  events: [
    { at: OUTAGE.from, change: (server) => server.hang() },
    { at: OUTAGE.to, change: (server) => server.resume() },
  ],
};

/** @param {Partial<import("../world.mjs").World>} [changes] */
export async function hang(changes) {
  const world = { ...WORLD, ...changes };
  const none = await simulate(world, ({ clock }) => timeout("3s", { clock }));
  const guarded = await simulate(world, ({ clock, random }) =>
    pipeline(
      circuitBreaker({
        trip: consecutive({ failures: 5 }),
        openFor: { initial: "2s", max: "5s" },
        clock,
        random,
      }),
      timeout("3s", { clock }),
    ),
  );

  const figures = (measured) => ({
    neighbourGoodput: mean(measured.neighbour.goodput, OUTAGE.from + 5, OUTAGE.to),
    neighbourShare:
      mean(measured.neighbour.answered, OUTAGE.from + 5, OUTAGE.to) /
      mean(measured.neighbour.calls, OUTAGE.from + 5, OUTAGE.to),
    failureAfterMs: mean(measured.latencyMs, OUTAGE.from + 5, OUTAGE.to),
    requestsToHung: mean(measured.offered, OUTAGE.from + 5, OUTAGE.to),
    timeToRecover: timeToRecover(measured, OUTAGE.to),
  });
  const series = (pick) => [
    { name: "timeout of 3 s alone", values: pick(none) },
    { name: "breaker and timeout", values: pick(guarded) },
  ];
  return {
    figures: { none: figures(none), guarded: figures(guarded) },
    chart: {
      title: "A dependency hangs: what becomes of the healthy one beside it?",
      subtitle: "50 calls/s to each of two servers, from four clients with 15 places each; timeout 3 s",
      bands: [{ ...OUTAGE, label: "the first server hangs" }],
      panels: [
        {
          title: "Goodput of the healthy server, answered calls per second",
          series: series(({ neighbour }) => neighbour.goodput),
        },
        {
          title: "Goodput of the server that hangs, answered calls per second",
          series: series(({ goodput }) => goodput),
        },
        {
          title: "Time until a call to the server that hangs has an outcome, mean, ms",
          series: series(({ latencyMs }) => latencyMs),
        },
      ],
    },
  };
}
