// Runs clients with real policies against a model server on virtual time, and counts what happens in each second.
import { seededRandom } from "@holdfast/core";
import { manualClock } from "@holdfast/core/testing";
import { meter } from "./meter.mjs";
import { modelServer } from "./server.mjs";

/**
 * @typedef {object} World
 * @property {number} seed
 * @property {number} seconds
 * @property {number} clients - Processes, each with policies of its own.
 * @property {number} callsPerSecond - Of all clients together; arrivals are a Poisson process.
 * @property {import("./server.mjs").ServerOptions} server
 * @property {{ at: number, change: (server: ReturnType<typeof modelServer>) => void }[]} events - `at` in seconds.
 */

/**
 * @param {World} world
 * @param {(tools: { clock: any, random: () => number }) => import("@holdfast/core").Policy} makePolicy - Once per client.
 * @param {(policies: any[]) => number} [gauge] - Read at the end of each second.
 * @returns {Promise<import("./meter.mjs").Measured>}
 */
export async function simulate(world, makePolicy, gauge) {
  const { seed, seconds, clients, callsPerSecond } = world;
  const clock = manualClock(0);
  // Streams of their own, so that a policy's draws change neither the arrivals nor the service times.
  const arrivals = seededRandom(seed);
  const server = modelServer(clock, seededRandom(seed + 1), world.server);
  const policies = Array.from({ length: clients }, (_, index) =>
    makePolicy({ clock, random: seededRandom(seed + 2 + index) }),
  );
  const counts = meter(clock, seconds);

  for (const { at, change } of world.events) clock.setTimer(at * 1_000, () => change(server));
  for (let second = 0; second < seconds; second += 1)
    clock.setTimer((second + 1) * 1_000 - 1, () => counts.gauge(second, gauge?.(policies) ?? server.waiting));

  const call = async () => {
    const policy = policies[Math.floor(arrivals() * clients)];
    const end = counts.callBegan();
    try {
      await policy.run(async (context) => {
        counts.sent();
        await server.handle();
        if (!context.aborted) server.answered();
      });
      end("answered");
    } catch (error) {
      end(error);
    }
  };
  const arrive = () => {
    void call();
    clock.setTimer((-Math.log(1 - arrivals()) * 1_000) / callsPerSecond, arrive);
  };
  arrive();
  await clock.advance(seconds * 1_000);
  return counts.measured();
}
