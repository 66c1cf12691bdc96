// A Redis with replicas for a test, and a Sentinel that puts one of them in its place when it dies.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Redis } from "ioredis";
import { ask } from "./ask.mjs";
import { findRedis, startRedis } from "./redis.mjs";
import { serverHome } from "./server-home.mjs";
import { ServerProcess } from "./server-process.mjs";

const NAME = "main";
/** After how many milliseconds without an answer the master counts as dead. */
const DOWN_AFTER_MS = 500;
/** How long all of them may take to find each other, in milliseconds. */
const READY_WITHIN_MS = 20_000;

/**
 * @typedef {object} ReplicatedRedis
 * @property {import("./redis.mjs").RedisServer} master - At first.
 * @property {readonly import("./redis.mjs").RedisServer[]} replicas - At first.
 * @property {{ readonly name: string, readonly sentinels: { host: string, port: number }[] }} place - What ioredis is made with.
 * @property {() => Promise<void>} stop
 */

/**
 * Starts a master, its replicas and one Sentinel, which decides alone.
 *
 * @param {{ readonly replicas?: number }} [options] - One replica, if nothing is said.
 * @returns {Promise<ReplicatedRedis & AsyncDisposable>}
 */
export async function startReplicatedRedis({ replicas: count = 1 } = {}) {
  const args = ["--repl-diskless-sync-delay", "0"];
  const master = await startRedis({ args });
  const copyArgs = [...args, "--replicaof", "127.0.0.1", String(master.port)];
  const replicas = await Promise.all(Array.from({ length: count }, () => startRedis({ args: copyArgs })));
  const sentinel = await startSentinel(master.port);
  const stop = async () => {
    await Promise.all([sentinel, ...replicas, master].map((server) => server.stop()));
  };
  try {
    await untilReady(sentinel.port, master, count);
  } catch (error) {
    await stop();
    throw error;
  }
  const place = { name: NAME, sentinels: [{ host: "127.0.0.1", port: sentinel.port }] };
  return { master, replicas, place, stop, [Symbol.asyncDispose]: stop };
}

/** @param {number} masterPort */
async function startSentinel(masterPort) {
  const home = await serverHome("sentinel", "SIGTERM");
  // It writes what it learns into its file.
  const file = join(home.folder, "sentinel.conf");
  const lines = [
    `port ${home.port}`,
    "bind 127.0.0.1",
    `dir ${home.folder}`,
    `sentinel monitor ${NAME} 127.0.0.1 ${masterPort} 1`,
    `sentinel down-after-milliseconds ${NAME} ${DOWN_AFTER_MS}`,
    `sentinel failover-timeout ${NAME} 5000`,
  ];
  writeFileSync(file, `${lines.join("\n")}\n`);
  const command = () => ({ file: /** @type {string} */ (findRedis()), args: [file, "--sentinel"] });
  const server = new ServerProcess("redis-sentinel", home, command, () =>
    ask(home.port, "PING\r\n", /\+PONG/),
  );
  await server.startOrRelease();
  return server;
}

/**
 * @param {number} sentinelPort
 * @param {import("./redis.mjs").RedisServer} master
 * @param {number} count
 */
async function untilReady(sentinelPort, master, count) {
  const watcher = new Redis({ host: "127.0.0.1", port: sentinelPort });
  const client = new Redis(master.url);
  try {
    for (const endsAt = performance.now() + READY_WITHIN_MS; performance.now() < endsAt; await sleep(50)) {
      const known = /** @type {unknown[]} */ (await watcher.call("SENTINEL", "REPLICAS", NAME));
      await client.set("ready", "1");
      if (known.length === count && (await client.wait(count, 1_000)) === count) return;
    }
    throw new Error(`the Redis and its replicas were not ready within ${READY_WITHIN_MS} ms`);
  } finally {
    for (const one of [watcher, client]) one.disconnect();
  }
}
