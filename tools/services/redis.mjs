// A private Redis (or Valkey) for a test.
import { join } from "node:path";
import { aptInstall } from "./apt.mjs";
import { ask, freePort, newFolder, ServerProcess } from "./process.mjs";
import { which } from "./which.mjs";

/**
 * @typedef {object} RedisOptions
 * @property {boolean} [appendOnly] - Every write is on disk before it is acknowledged. Default: nothing is kept.
 * @property {readonly string[]} [args] - Further arguments of redis-server.
 */

/** @typedef {ServerProcess & { readonly url: string, readonly port: number, readonly socket: string } & AsyncDisposable} RedisServer */

/** The server's program, installed if need be and possible. @returns {string | undefined} */
export function findRedis() {
  const find = () => which(["redis-server", "valkey-server"]);
  return find() ?? (aptInstall("redis-server") ? find() : undefined);
}

/**
 * Starts a Redis of the caller's own.
 *
 * @param {RedisOptions} [options]
 * @returns {Promise<RedisServer>}
 */
export async function startRedis(options = {}) {
  const program = findRedis();
  if (program === undefined) throw new Error("no redis-server here: apt-get install redis-server");
  const folder = newFolder("redis");
  const port = await freePort();
  const socket = join(folder, "redis.sock");
  const keep = options.appendOnly === true ? ["--appendonly", "yes", "--appendfsync", "always"] : [];
  const args = ["--port", String(port), "--bind", "127.0.0.1", "--unixsocket", socket, "--dir", folder];
  const command = () => ({
    file: program,
    args: [...args, "--save", "", "--maxmemory-policy", "noeviction", ...keep, ...(options.args ?? [])],
  });
  const server = new ServerProcess("redis-server", folder, command, () => ask(port, "PING\r\n", "+PONG"));
  await server.start();
  return Object.assign(server, {
    url: `redis://127.0.0.1:${port}`,
    port,
    socket,
    [Symbol.asyncDispose]: () => server.stop(),
  });
}
