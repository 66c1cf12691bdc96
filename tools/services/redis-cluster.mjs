// A Redis Cluster of three masters for a test.
import { setTimeout as sleep } from "node:timers/promises";
import { Redis } from "ioredis";
import { startRedis } from "./redis.mjs";

const SLOTS = 16_384;
const MASTERS = 3;

/** How long the masters may take to find each other, in milliseconds. */
const READY_WITHIN_MS = 20_000;

/** @typedef {{ readonly nodes: readonly { readonly host: string, readonly port: number }[], stop(): Promise<void> } & AsyncDisposable} RedisCluster */

/**
 * Starts three masters that share the slots evenly, without replicas.
 *
 * @returns {Promise<RedisCluster>}
 */
export async function startRedisCluster() {
  const args = ["--cluster-node-timeout", "5000"];
  const servers = await Promise.all(
    Array.from({ length: MASTERS }, () => startRedis({ cluster: true, args })),
  );
  const stop = async () => {
    await Promise.all(servers.map((server) => server.stop()));
  };
  const nodes = servers.map(({ url }) => ({ host: "127.0.0.1", port: Number(new URL(url).port) }));
  const clients = nodes.map((node) => new Redis(node));
  try {
    for (const [index, client] of clients.entries()) {
      const from = Math.floor((index * SLOTS) / MASTERS);
      const to = Math.floor(((index + 1) * SLOTS) / MASTERS) - 1;
      const slots = Array.from({ length: to - from + 1 }, (_, offset) => String(from + offset));
      await client.call("CLUSTER", "ADDSLOTS", ...slots);
      await client.call("CLUSTER", "SET-CONFIG-EPOCH", String(index + 1));
      if (index > 0) await clients[0]?.call("CLUSTER", "MEET", "127.0.0.1", String(nodes[index]?.port));
    }
    await Promise.all(clients.map(untilReady));
  } catch (error) {
    await stop();
    throw error;
  } finally {
    for (const client of clients) client.disconnect();
  }
  return { nodes, stop, [Symbol.asyncDispose]: stop };
}

/** @param {Redis} client */
async function untilReady(client) {
  const endsAt = performance.now() + READY_WITHIN_MS;
  while (performance.now() < endsAt) {
    const info = String(await client.call("CLUSTER", "INFO"));
    if (info.includes("cluster_state:ok") && info.includes(`cluster_known_nodes:${MASTERS}`)) return;
    await sleep(50);
  }
  throw new Error(`the Redis Cluster was not ready within ${READY_WITHIN_MS} ms`);
}
