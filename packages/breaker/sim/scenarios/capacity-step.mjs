// A capacity step: a server loses most of its workers for a while; which limit on calls in flight fits it?
import { adaptiveConcurrency, bulkhead, gradient2 } from "@holdfast/breaker";
import { pipeline, timeout } from "@holdfast/core";
import { mean } from "../meter.mjs";
import { simulate } from "../world.mjs";

const STEP = { from: 30, to: 70 };

/** 150 calls/s; the server can do 200, and 60 during the step. */
const WORLD = {
  seed: 1,
  seconds: 110,
  clients: 4,
  callsPerSecond: 150,
  server: { workers: 20, serviceMs: 100, queue: 500 },
  events: [
    { at: STEP.from, change: (server) => server.setWorkers(6) },
    { at: STEP.to, change: (server) => server.setWorkers(20) },
  ],
};

/** @param {Partial<import("../world.mjs").World>} [changes] */
export async function capacityStep(changes) {
  const world = { ...WORLD, ...changes };
  const fixed = (concurrent) =>
    simulate(
      world,
      ({ clock }) => pipeline(bulkhead({ concurrent, clock }), timeout("1s", { clock })),
      () => concurrent * world.clients,
    );
  const wide = await fixed(40);
  const narrow = await fixed(3);
  const adaptive = await simulate(
    world,
    ({ clock, random }) =>
      pipeline(
        adaptiveConcurrency({ algorithm: gradient2(), min: 1, max: 40, initial: 10, clock, random }),
        timeout("1s", { clock }),
      ),
    (policies) => policies.reduce((all, { layers }) => all + layers[0].snapshot().limit, 0),
  );

  const figures = (measured) => ({
    goodputBefore: mean(measured.goodput, 10, STEP.from),
    goodputDuring: mean(measured.goodput, STEP.from + 5, STEP.to),
    goodputAfter: mean(measured.goodput, STEP.to + 5, world.seconds),
    latencyDuringMs: mean(measured.sentLatencyMs, STEP.from + 5, STEP.to),
  });
  const series = (pick) => [
    { name: "fixed, 40 per client", values: pick(wide) },
    { name: "adaptive, 1 to 40 per client", values: pick(adaptive) },
    { name: "fixed, 3 per client", values: pick(narrow) },
  ];
  return {
    figures: { wide: figures(wide), narrow: figures(narrow), adaptive: figures(adaptive) },
    chart: {
      title: "A capacity step: which limit on calls in flight fits?",
      subtitle: "150 calls/s from four clients; the server can do 200, and 60 during the step; timeout 1 s",
      bands: [{ ...STEP, label: "14 of 20 workers are gone" }],
      panels: [
        { title: "Goodput, answered calls per second", series: series(({ goodput }) => goodput) },
        { title: "Requests waiting at the server", series: series(({ queued }) => queued) },
        {
          title: "Calls in flight that the limits allow, all clients together",
          series: series(({ gauge }) => gauge),
        },
      ],
    },
  };
}
