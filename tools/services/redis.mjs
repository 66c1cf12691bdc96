// A private Redis (or Valkey) for a test.
import { join } from "node:path";
import { ask } from "./ask.mjs";
import { CLUSTER_RANGE } from "./ports.mjs";
import { serverHome } from "./server-home.mjs";
import { ServerProcess } from "./server-process.mjs";
import { which } from "./which.mjs";

/**
 * @typedef {object} RedisOptions
 * @property {boolean} [appendOnly] - Every write is on disk before it is acknowledged. Default: nothing is kept.
 * @property {string} [password] - What clients must know (`requirepass`); it is part of the URL.
 * @property {boolean} [cluster] - It is a node of a Cluster.
 * @property {readonly string[]} [args] - Further arguments of redis-server.
 */

/** @typedef {ServerProcess & { readonly url: string, readonly socket: string }} RedisServer */

/** The server's program. @returns {string | undefined} */
export function findRedis() {
  return which(["redis-server", "valkey-server"]);
}

/**
 * Starts a Redis of the caller's own, on a loopback port and on a unix socket.
 *
 * @param {RedisOptions} [options]
 * @returns {Promise<RedisServer>}
 * @throws {Error} When this machine has none, or it does not start: then with the end of its log.
 */
export async function startRedis(options = {}) {
  const program = findRedis();
  if (program === undefined) throw new Error("no redis-server here: apt-get install redis-server");
  const home = await serverHome("redis", "SIGTERM", options.cluster === true ? CLUSTER_RANGE : undefined);
  const socket = join(home.folder, "redis.sock");
  const args = serverArgs(home, socket, options);
  const command = () => ({ file: program, args });
  const { password } = options;
  const hello = password === undefined ? "" : `AUTH ${password}\r\n`;
  const server = new ServerProcess("redis-server", home, command, () =>
    ask(home.port, `${hello}PING\r\n`, /\+PONG/),
  );
  await server.startOrRelease();
  const secret = password === undefined ? "" : `:${encodeURIComponent(password)}@`;
  return Object.assign(server, { url: `redis://${secret}127.0.0.1:${home.port}`, socket });
}

/**
 * @param {import("./server-home.mjs").ServerHome} home
 * @param {string} socket
 * @param {RedisOptions} options
 */
function serverArgs({ folder, port }, socket, { appendOnly, password, cluster, args = [] }) {
  const settings = {
    port: String(port),
    bind: "127.0.0.1",
    unixsocket: socket,
    dir: folder,
    save: "",
    "maxmemory-policy": "noeviction",
    ...(appendOnly === true ? { appendonly: "yes", appendfsync: "always" } : {}),
    ...(password === undefined ? {} : { requirepass: password }),
    ...(cluster === true ? { "cluster-enabled": "yes", "cluster-announce-ip": "127.0.0.1" } : {}),
  };
  return [...Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value]), ...args];
}
