// Rows of suite `queue` on PostgreSQL: ours beside pg-boss and graphile-worker, on one server with one durability.
import { Logger, makeWorkerUtils, run } from "graphile-worker";
import pg from "pg";
import PgBoss from "pg-boss";
import { defineTask, handle, queue, worker } from "../../packages/queue/dist/index.js";
import { postgresTaskStore } from "../../packages/queue/dist/postgres.js";
import { startPostgres } from "../../tools/services/index.mjs";
import { collectGarbage } from "./garbage.mjs";

const FILL = 1_000;
const TASKS = 10_000;
const work = defineTask({ name: "work" });
const inputs = () => Array.from({ length: FILL }, (_, n) => ({ n, text: "hello world" }));

// Begun by the first row that needs it: commits are not waited for on disk, for all alike.
let started;
const contenders = () => (started ??= start());

export const postgresRows = [
  {
    name: "on PostgreSQL, add in bulk",
    measure: (_, quick) =>
      inTurn(quick, async (contender) => {
        const ns = await timeToFill(contender);
        await timeToWorkOff(contender, 200);
        return ns;
      }),
    target: { minRatio: { "pg-boss": 1, "graphile-worker": 1 } },
  },
  workingOff("on PostgreSQL, worked off 50 at once", 50),
  workingOff("on PostgreSQL, worked off 200 at once", 200),
];

function workingOff(name, concurrency) {
  return {
    name,
    measure: (_, quick) =>
      inTurn(quick, async (contender) => {
        await timeToFill(contender);
        return timeToWorkOff(contender, concurrency);
      }),
    target: { minRatio: { "pg-boss": 4 } },
  };
}

async function start() {
  const server = await startPostgres();
  process.once("exit", () => void server.stop());
  const pool = new pg.Pool({ connectionString: server.url, max: 10 });
  pool.on("error", () => {});
  return {
    ours: ours(pool),
    "pg-boss": await boss(server.url),
    "graphile-worker": await graphile(server.url),
  };
}

function ours(pool) {
  const tasks = queue({
    name: "bench",
    store: postgresTaskStore({ client: pool, deadline: "1m" }),
    limit: 10_000_000,
  });
  return {
    addMany: () =>
      tasks.enqueueMany(
        work,
        inputs().map((input) => ({ input })),
      ),
    start: (concurrency, onTask) => {
      const working = worker(
        tasks,
        [
          handle(work, async () => {
            onTask();
            return { ok: true };
          }),
        ],
        { concurrency },
      );
      return () => working.close({ within: "1s" });
    },
  };
}

// Its own worker polls twice a second at best, so it is given what is faster: fetch and complete, as many as are to run at once.
async function boss(url) {
  const tasks = new PgBoss({ connectionString: url, max: 10 });
  tasks.on("error", () => {});
  await tasks.start();
  await tasks.createQueue("bench");
  return {
    addMany: () => tasks.insert(inputs().map((data) => ({ name: "bench", data }))),
    start: (concurrency, onTask) => {
      const stop = new AbortController();
      const loop = async () => {
        while (!stop.signal.aborted) {
          const jobs = await tasks.fetch("bench", { batchSize: concurrency / 2 });
          for (const _ of jobs) onTask();
          if (jobs.length > 0)
            await tasks.complete(
              "bench",
              jobs.map(({ id }) => id),
            );
        }
      };
      const loops = [loop(), loop()];
      return async () => {
        stop.abort();
        await Promise.all(loops);
      };
    },
  };
}

async function graphile(url) {
  const logger = new Logger(() => () => {});
  const utils = await makeWorkerUtils({ connectionString: url, maxPoolSize: 10, logger });
  await utils.migrate();
  return {
    addMany: () => utils.addJobs(inputs().map((payload) => ({ identifier: "bench", payload }))),
    start: (concurrency, onTask) => {
      const preset = {
        worker: { localQueue: { size: 500 }, completeJobBatchDelay: 0, failJobBatchDelay: 0 },
      };
      const taskList = { bench: async () => onTask() };
      const options = { connectionString: url, maxPoolSize: 10, concurrency, taskList, logger, preset };
      const running = run({ ...options, noHandleSignals: true });
      return async () => (await running).stop();
    },
  };
}

/** Contender → median nanoseconds for a task. */
async function inTurn(quick, measure) {
  const among = await contenders();
  const samples = Object.fromEntries(Object.keys(among).map((name) => [name, []]));
  for (let round = 0; round < (quick ? 2 : 6); round += 1)
    for (const [name, contender] of Object.entries(among)) {
      collectGarbage({ type: "minor" });
      const ns = (await measure(contender)) / TASKS;
      // The first round is the warm-up.
      if (round > 0) samples[name].push(ns);
    }
  return Object.fromEntries(
    Object.entries(samples).map(([name, all]) => [name, all.sort((a, b) => a - b)[all.length >> 1]]),
  );
}

async function timeToFill(contender) {
  const begin = process.hrtime.bigint();
  for (let added = 0; added < TASKS; added += FILL) await contender.addMany();
  return Number(process.hrtime.bigint() - begin);
}

/** Ends with the last handler. */
async function timeToWorkOff(contender, concurrency) {
  let done = 0;
  let end;
  const ended = new Promise((resolve) => (end = resolve));
  const begin = process.hrtime.bigint();
  const stop = contender.start(concurrency, () => {
    done += 1;
    if (done === TASKS) end();
  });
  await ended;
  const time = Number(process.hrtime.bigint() - begin);
  await stop();
  return time;
}
