// Real schedulers on a real Redis and a real PostgreSQL, killed in a loop.
import type { ChildProcess } from "node:child_process";
import { spawn } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { seededRandom } from "@holdfast/core";
import { REDIS_CLIENT_OPTIONS } from "@holdfast/core/redis";
import type { QueueStore } from "@holdfast/queue";
import { postgresTaskStore } from "@holdfast/queue/postgres";
import { redisTaskStore } from "@holdfast/queue/redis";
import { Redis } from "ioredis";
import pg from "pg";
import { afterEach, beforeEach, describe, expect, inject, it } from "vitest";
import { startPostgres, startRedis } from "../../../tools/services/index.mjs";

const SCHEDULER = fileURLToPath(new URL("./fixtures/scheduler.mjs", import.meta.url));
const PROCESSES = 3;
const RUN_MS = 12_000;

interface Server {
  readonly url: string;
  readonly store: QueueStore;
  readonly stop: () => Promise<unknown>;
}

async function redis(): Promise<Server> {
  const server = await startRedis({ appendOnly: true });
  const client = new Redis(server.url, { ...REDIS_CLIENT_OPTIONS, retryStrategy: () => 50 });
  client.on("error", () => {});
  const stop = async (): Promise<void> => {
    client.disconnect();
    await server.stop();
  };
  return { url: server.url, store: redisTaskStore({ client }), stop };
}

async function postgres(): Promise<Server> {
  const server = await startPostgres({ durable: true });
  const pool = new pg.Pool({ connectionString: server.url, connectionTimeoutMillis: 1_000 });
  pool.on("error", () => {});
  const stop = async (): Promise<void> => {
    await pool.end();
    await server.stop();
  };
  return { url: server.url, store: postgresTaskStore({ client: pool }), stop };
}

const servers = [
  { kind: "redis", open: redis, isThere: inject("startsRedis") },
  { kind: "postgres", open: postgres, isThere: inject("startsPostgres") },
].filter(({ isThere }) => isThere);

describe.each(servers)("schedulers on $kind whose processes die (pitfall 7)", ({ kind, open }) => {
  let server: Server;
  let store: QueueStore;
  const running: ChildProcess[] = [];

  beforeEach(async () => {
    server = await open();
    store = server.store;
  });
  afterEach(async () => {
    for (const child of running.splice(0)) child.kill("SIGKILL");
    await store.close();
    await server.stop();
  });

  const start = (): void => {
    running.push(spawn(process.execPath, [SCHEDULER, kind, server.url], { stdio: "ignore" }));
  };

  async function timesOf(key: string): Promise<readonly number[]> {
    const tasks = await store.list("ticks", "ready", 1_000);
    const ids = tasks.map(({ id }) => id).filter((id) => id.startsWith(`${key}:`));
    return ids.map((id) => Date.parse(id.slice(key.length + 1))).toSorted((a, b) => a - b);
  }

  async function counts(): Promise<{ readonly added: number; readonly difference: number }> {
    const { ready } = await store.stats("ticks");
    const { added } = await store.meter("ticks");
    return { added, difference: added - ready };
  }

  it("add a task for each second, and none twice", { timeout: 90_000 }, async () => {
    const random = seededRandom(7);
    for (let one = 0; one < PROCESSES; one += 1) start();
    while ((await store.schedules("ticks")).length < 2) await sleep(100);
    let kills = 0;
    const until = Date.now() + RUN_MS;
    while (Date.now() < until) {
      await sleep(400 + random() * 800);
      running.splice(Math.floor(random() * running.length), 1)[0]?.kill("SIGKILL");
      kills += 1;
      start();
    }
    // All that was due by now is there once the schedule has gone beyond it.
    const end = Date.now();
    const isUpToDate = async (): Promise<boolean> => {
      const schedules = await store.schedules("ticks");
      return schedules.length === 2 && schedules.every(({ nextAt }) => nextAt > end);
    };
    while (!(await isUpToDate())) await sleep(200);
    for (const child of running) child.kill("SIGKILL");
    const all = (await timesOf("all")).filter((at) => at <= end);
    const latest = await timesOf("cron");
    console.info(
      `${kills} processes killed; ${all.length} times of one schedule, ${latest.length} of the other`,
    );
    expect(kills).toBeGreaterThan(5);
    expect(all.length).toBeGreaterThan(3);
    expect(all).toEqual(all.map((_, n) => all[0]! + n * 1_000));
    expect(new Set(latest).size).toBe(latest.length);
    // Each time has moved its schedule on once, and added one task.
    // What the dead had asked for may still be under way.
    await expect.poll(counts, { timeout: 10_000 }).toMatchObject({ difference: 0 });
    const { added } = await counts();
    expect(added).toBeGreaterThanOrEqual(all.length + latest.length);
  });
});
