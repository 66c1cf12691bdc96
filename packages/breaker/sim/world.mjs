// Runs clients with real policies against a model server on virtual time, and counts what happens in each second.
import { seededRandom } from "@holdfast/core";
import { manualClock } from "@holdfast/core/testing";
import { Fifo } from "./fifo.mjs";
import { meter } from "./meter.mjs";
import { modelServer } from "./server.mjs";

/**
 * @typedef {object} World
 * @property {number} seed
 * @property {number} seconds
 * @property {number} clients - Processes, each with policies of its own.
 * @property {number} callsPerSecond - Of all clients together; arrivals are a Poisson process.
 * @property {{ from: number, to: number, callsPerSecond: number }} [surge] - Other arrivals between two seconds.
 * @property {import("./server.mjs").ServerOptions} server
 * @property {Neighbour} [neighbour]
 * @property {{ at: number, change: (server: ReturnType<typeof modelServer>) => void }[]} events - `at` in seconds.
 */

/**
 * A second server, always well, that part of the calls go to, without a policy. Calls to both share the places of
 * a client, as requests share its threads, sockets or memory.
 *
 * @typedef {object} Neighbour
 * @property {number} share - Of the calls.
 * @property {import("./server.mjs").ServerOptions} server
 * @property {number} places - Calls a client can have under way, to whichever server.
 * @property {number} patienceMs - How long a call waits for a place.
 */

/**
 * @param {World} world
 * @param {(tools: { clock: any, random: () => number }) => import("@holdfast/core").Policy} makePolicy - Once per client.
 * @param {(policies: any[]) => number} [gauge] - Read at the end of each second.
 * @returns {Promise<import("./meter.mjs").Measured & { neighbour: import("./meter.mjs").Measured }>}
 */
export async function simulate(world, makePolicy, gauge) {
  const { seed, seconds, clients: count, callsPerSecond, surge, neighbour } = world;
  const clock = manualClock(0);
  // Streams of their own, so that a policy's draws change neither the arrivals nor the service times.
  const arrivals = seededRandom(seed);
  const server = modelServer(clock, seededRandom(seed + 1), world.server);
  const neighbourServer = modelServer(clock, seededRandom(seed + 2), neighbour?.server ?? world.server);
  const clients = Array.from({ length: count }, (_, index) => ({
    policy: makePolicy({ clock, random: seededRandom(seed + 3 + index) }),
    slots: slots(clock, neighbour?.places ?? Infinity, neighbour?.patienceMs ?? 0),
  }));
  const policies = clients.map(({ policy }) => policy);
  const counts = meter(clock, seconds);
  const neighbourCounts = meter(clock, seconds);

  for (const { at, change } of world.events) clock.setTimer(at * 1_000, () => change(server));
  for (let second = 0; second < seconds; second += 1)
    clock.setTimer((second + 1) * 1_000 - 1, () =>
      counts.look(second, server.waiting, gauge?.(policies) ?? 0),
    );

  const guarded = (policy, onSent) =>
    policy.run(async (context) => {
      onSent();
      counts.sent();
      await server.handle();
      if (!context.aborted) server.answered();
    });
  const unguarded = (onSent) => {
    onSent();
    neighbourCounts.sent();
    return neighbourServer.handle();
  };
  const call = async (client, toNeighbour) => {
    let sent = false;
    const onSent = () => {
      sent = true;
    };
    const end = (toNeighbour ? neighbourCounts : counts).callBegan();
    try {
      await client.slots.run(() => (toNeighbour ? unguarded(onSent) : guarded(client.policy, onSent)));
      end("answered", sent);
    } catch (error) {
      end(error, sent);
    }
  };
  const rateAt = (second) =>
    surge !== undefined && second >= surge.from && second < surge.to ? surge.callsPerSecond : callsPerSecond;
  const arrive = () => {
    const client = clients[Math.floor(arrivals() * count)];
    void call(client, neighbour !== undefined && arrivals() < neighbour.share);
    clock.setTimer((-Math.log(1 - arrivals()) * 1_000) / rateAt(clock.monotonic() / 1_000), arrive);
  };
  arrive();
  await clock.advance(seconds * 1_000);
  return { ...counts.measured(), neighbour: neighbourCounts.measured() };
}

/** What a client has a limited number of: a call that gets none in time fails. */
function slots(clock, limit, patienceMs) {
  let free = limit;
  const waiting = new Fifo();
  const hasFree = () => free > 0;
  const release = () => {
    free += 1;
    while (waiting.size > 0 && hasFree()) waiting.take()();
  };
  const acquire = () =>
    new Promise((resolve, reject) => {
      const timer = clock.setTimer(patienceMs, () => {
        over = true;
        reject(Object.assign(new Error("no place in time"), { code: "NO_PLACE" }));
      });
      let over = false;
      waiting.add(() => {
        if (over) return;
        timer.cancel();
        free -= 1;
        resolve();
      });
    });
  return {
    async run(work) {
      if (free > 0) free -= 1;
      else await acquire();
      try {
        return await work();
      } finally {
        release();
      }
    },
  };
}
