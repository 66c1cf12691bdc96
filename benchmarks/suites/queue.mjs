// Suite `queue`: what adding and working off a task costs in memory, on Redis and on PostgreSQL, and what it costs Redis besides time.
import { Queue as BullQueue, Worker as BullWorker } from "bullmq";
import { Redis } from "ioredis";
import { REDIS_CLIENT_OPTIONS } from "../../packages/core/dist/redis.js";
import { defineTask, handle, memoryStore, queue, worker } from "../../packages/queue/dist/index.js";
import { redisTaskStore } from "../../packages/queue/dist/redis.js";
import { startRedis } from "../../tools/services/index.mjs";
import { byCallers } from "../lib/callers.mjs";
import { collectGarbage } from "../lib/garbage.mjs";
import { postgresRows } from "../lib/queue-on-postgres.mjs";

// A process has one server of its own for this, which ends with it. Nothing is kept on disk, for all alike.
const server = await startRedis();
process.once("exit", () => void server.stop());
const connect = async (options) => {
  const client = new Redis(server.url, options);
  await new Promise((resolve) => client.once("ready", resolve));
  return client;
};
const client = await connect(REDIS_CLIENT_OPTIONS);
const bullClient = await connect({ maxRetriesPerRequest: null });

const LIMIT = 10_000_000;
const FILL = 1_000;
const work = defineTask({ name: "work" });
const input = (n) => ({ n, text: "hello world" });
const onRedis = () =>
  queue({ name: "bench", store: redisTaskStore({ client, prefix: "ours:" }), limit: LIMIT });
const inMemory = () => queue({ name: "bench", store: memoryStore(), limit: LIMIT });

/** What is measured of each: adding one, adding many, and working off with so many at once. */
const ours = (tasks) => ({
  add: (n) => tasks.enqueue(work, input(n)),
  addMany: () =>
    tasks.enqueueMany(
      work,
      Array.from({ length: FILL }, (_, n) => ({ input: input(n) })),
    ),
  start: (concurrency, onTask) => {
    const working = worker(tasks, [handle(work, async () => onTask())], { concurrency });
    return () => working.close({ within: "1s" });
  },
});
const bull = () => {
  const tasks = new BullQueue("bench", { connection: bullClient });
  return {
    add: (n) => tasks.add("work", input(n)),
    addMany: () => tasks.addBulk(Array.from({ length: FILL }, (_, n) => ({ name: "work", data: input(n) }))),
    start: (concurrency, onTask) => {
      const connection = bullClient.duplicate();
      const working = new BullWorker("bench", async () => onTask(), { connection, concurrency });
      return async () => {
        await working.close();
        connection.disconnect();
      };
    },
  };
};

const contenders = { ours: ours(onRedis()), BullMQ: bull() };
const memory = ours(inMemory());
let turn = 0;

export const rows = [
  {
    name: "in memory, added in bulk, then worked off 50 at once",
    measure: workedOff(50, { ours: memory }),
    target: { maxNs: 3_333 },
  },
  adding("on Redis, add, 1 caller", 1),
  adding("on Redis, add, 100 callers", 100, 4),
  {
    name: "on Redis, add in bulk",
    measure: inBulk,
    target: { minRatio: { BullMQ: 5 } },
  },
  workingOff("on Redis, worked off 1 at a time", 1, 1.5),
  workingOff("on Redis, worked off 50 at once", 50, 5),
  workingOff("on Redis, worked off 200 at once", 200, 5),
  {
    name: "processor time of Redis for a task added in bulk and worked off 50 at once",
    unit: "ns",
    measure: serverTime,
  },
  {
    name: "calls to Redis for a task worked off 50 at once, in thousandths",
    unit: "",
    measure: callsPerTask,
  },
  { name: "bytes in Redis for each task that waits", unit: "B", measure: bytesPerTask },
  ...postgresRows,
];

function adding(name, callers, minRatio) {
  return {
    name,
    measure: async (row, quick) => {
      const values = await byCallers(callers)(row, quick);
      await client.flushall();
      return values;
    },
    ours: () => contenders.ours.add((turn += 1)),
    peers: { BullMQ: () => contenders.BullMQ.add((turn += 1)) },
    ...(minRatio === undefined ? {} : { target: { minRatio: { BullMQ: minRatio } } }),
  };
}

function workingOff(name, concurrency, minRatio) {
  return { name, measure: workedOff(concurrency, contenders), target: { minRatio: { BullMQ: minRatio } } };
}

/** Contender → median nanoseconds for a task, from the start of a worker to the end of the last task. */
function workedOff(concurrency, among) {
  return async (_, quick) => {
    const count = concurrency === 1 ? 4_000 : 20_000;
    return inTurn(among, quick, async (contender) => {
      await client.flushall();
      await fill(contender, count);
      return (await timeToWorkOff(contender, concurrency, count)) / count;
    });
  };
}

async function inBulk(_, quick) {
  return inTurn(contenders, quick, async (contender) => {
    await client.flushall();
    const start = process.hrtime.bigint();
    await fill(contender, 20_000);
    return Number(process.hrtime.bigint() - start) / 20_000;
  });
}

async function inTurn(among, quick, measure) {
  const samples = Object.fromEntries(Object.keys(among).map((name) => [name, []]));
  for (let round = 0; round < (quick ? 2 : 6); round += 1)
    for (const [name, contender] of Object.entries(among)) {
      collectGarbage({ type: "minor" });
      const sample = await measure(contender);
      // The first round is the warm-up.
      if (round > 0) samples[name].push(sample);
    }
  return Object.fromEntries(
    Object.entries(samples).map(([name, all]) => [name, all.sort((a, b) => a - b)[all.length >> 1]]),
  );
}

async function fill(contender, count) {
  for (let added = 0; added < count; added += FILL) await contender.addMany();
}

async function timeToWorkOff(contender, concurrency, count) {
  let done = 0;
  let end;
  const ended = new Promise((resolve) => (end = resolve));
  const start = process.hrtime.bigint();
  const stop = contender.start(concurrency, () => {
    done += 1;
    if (done === count) end();
    return { ok: true };
  });
  await ended;
  const time = Number(process.hrtime.bigint() - start);
  await stop();
  return time;
}

async function serverTime() {
  const used = async () => {
    const info = await client.info("cpu");
    const [user, system] = ["user", "sys"].map((kind) =>
      Number(new RegExp(`used_cpu_${kind}:([\\d.]+)`).exec(info)[1]),
    );
    return (user + system) * 1e9;
  };
  return inTurn(contenders, false, async (contender) => {
    await client.flushall();
    const before = await used();
    await fill(contender, 10_000);
    await timeToWorkOff(contender, 50, 10_000);
    return ((await used()) - before) / 10_000;
  });
}

async function callsPerTask() {
  const values = {};
  for (const [name, contender] of Object.entries(contenders)) {
    await client.flushall();
    await fill(contender, 10_000);
    await client.config("RESETSTAT");
    await timeToWorkOff(contender, 50, 10_000);
    const stats = await client.info("commandstats");
    const scripts = [...stats.matchAll(/^cmdstat_(?:evalsha|eval|bzpopmin):calls=(\d+)/gm)];
    values[name] = scripts.reduce((sum, [, calls]) => sum + Number(calls), 0) / 10;
  }
  return values;
}

async function bytesPerTask() {
  const values = {};
  const used = async () => Number(/used_memory:(\d+)/.exec(await client.info("memory"))[1]);
  for (const [name, contender] of Object.entries(contenders)) {
    await client.flushall();
    const before = await used();
    await fill(contender, 20_000);
    values[name] = ((await used()) - before) / 20_000;
  }
  return values;
}
