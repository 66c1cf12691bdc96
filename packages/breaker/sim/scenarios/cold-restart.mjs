// Cold restart: a server crashes and comes back with an empty cache; does the load come back at once or ramp up?
import { circuitBreaker, timeWindow } from "@holdfast/breaker";
import { pipeline, timeout } from "@holdfast/core";
import { mean, timeToRecover } from "../meter.mjs";
import { simulate } from "../world.mjs";

const OUTAGE = { from: 20, to: 30 };

/** 100 calls/s on a server that can do 200 warm and 33 cold; 600 answers in time warm it. */
const WORLD = {
  seed: 1,
  seconds: 120,
  clients: 4,
  callsPerSecond: 100,
  server: { workers: 10, serviceMs: 50, queue: 200, coldness: { slower: 6, answers: 600 } },
  events: [
    { at: OUTAGE.from, change: (server) => server.crash() },
    { at: OUTAGE.to, change: (server) => server.restartCold() },
  ],
};

/** @param {Partial<import("../world.mjs").World>} [changes] */
export async function coldRestart(changes) {
  const world = { ...WORLD, ...changes };
  const guarded = ({ clock, random }, rampUp) =>
    pipeline(
      circuitBreaker({
        trip: timeWindow({ window: "5s", failureRate: 0.5, minCalls: 10 }),
        openFor: { initial: "2s", max: "5s" },
        ...(rampUp === undefined ? {} : { rampUp }),
        clock,
        random,
      }),
      timeout("1s", { clock }),
    );
  const none = await simulate(world, ({ clock }) => timeout("1s", { clock }));
  const atOnce = await simulate(world, (tools) => guarded(tools));
  const ramped = await simulate(world, (tools) => guarded(tools, { over: "20s", from: 0.1 }));

  const figures = (measured) => ({
    timeToRecover: timeToRecover(measured, OUTAGE.to),
    goodputAfter: mean(measured.goodput, OUTAGE.to, OUTAGE.to + 30),
  });
  const series = (pick) => [
    { name: "no breaker", values: pick(none) },
    { name: "breaker, ramp-up over 20 s", values: pick(ramped) },
    { name: "breaker, all at once", values: pick(atOnce) },
  ];
  return {
    figures: { none: figures(none), atOnce: figures(atOnce), ramped: figures(ramped) },
    chart: {
      title: "Cold restart: who lets the cache fill?",
      subtitle: "100 calls/s; the server can do 200 warm, 33 cold; an answer later than 1 s warms nothing",
      bands: [{ ...OUTAGE, label: "server down" }],
      panels: [
        { title: "Goodput, answered calls per second", series: series(({ goodput }) => goodput) },
        { title: "Offered load, requests per second", series: series(({ offered }) => offered) },
      ],
    },
  };
}
