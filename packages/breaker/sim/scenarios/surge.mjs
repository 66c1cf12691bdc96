// A surge: more calls than the server can do, and refusing them costs it as well; who turns them away?
import { adaptiveThrottle } from "@holdfast/breaker";
import { pipeline, timeout } from "@holdfast/core";
import { mean } from "../meter.mjs";
import { simulate } from "../world.mjs";

const SURGE = { from: 20, to: 60, callsPerSecond: 300 };

/** 80 calls/s on a server that can do 100, and 300 during the surge; a refusal costs a third of an answer. */
const WORLD = {
  seed: 1,
  seconds: 90,
  clients: 4,
  callsPerSecond: 80,
  surge: SURGE,
  server: { workers: 10, serviceMs: 100, queue: 50, refusalMs: 30 },
  events: [],
};

/** @param {Partial<import("../world.mjs").World>} [changes] */
export async function surge(changes) {
  const world = { ...WORLD, ...changes };
  const none = await simulate(world, ({ clock }) => timeout("1s", { clock }));
  const throttled = await simulate(world, ({ clock, random }) =>
    pipeline(adaptiveThrottle({ k: 2, window: "30s", clock, random }), timeout("1s", { clock })),
  );
  const keener = await simulate(world, ({ clock, random }) =>
    pipeline(adaptiveThrottle({ k: 1.2, window: "30s", clock, random }), timeout("1s", { clock })),
  );

  const figures = (measured) => ({
    goodputDuring: mean(measured.goodput, SURGE.from + 10, SURGE.to),
    offeredDuring: mean(measured.offered, SURGE.from + 10, SURGE.to),
    goodputAfter: mean(measured.goodput, SURGE.to, SURGE.to + 20),
  });
  const series = (pick) => [
    { name: "no throttle", values: pick(none) },
    { name: "adaptive throttle, k = 2", values: pick(throttled) },
    { name: "adaptive throttle, k = 1.2", values: pick(keener) },
  ];
  return {
    figures: { none: figures(none), throttled: figures(throttled), keener: figures(keener) },
    chart: {
      title: "A surge: who turns away what is too much?",
      subtitle:
        "80 calls/s, 300 in the surge, on a server that can do 100; a refusal costs it a third of an answer",
      bands: [{ ...SURGE, label: "300 calls/s" }],
      panels: [
        {
          title: "Goodput, answered calls per second",
          series: series(({ goodput }) => goodput),
          level: { value: 100, label: "capacity" },
        },
        { title: "Offered load, requests per second", series: series(({ offered }) => offered) },
      ],
    },
  };
}
