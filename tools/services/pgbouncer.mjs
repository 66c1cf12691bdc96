// A private PgBouncer in front of a PostgreSQL, for a test.
import { chmodSync, chownSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ask } from "./ask.mjs";
import { serverUser } from "./postgres.mjs";
import { SSL_REQUEST, startupPacket } from "./postgres-hello.mjs";
import { serverHome } from "./server-home.mjs";
import { ServerProcess } from "./server-process.mjs";
import { which } from "./which.mjs";

/**
 * @typedef {object} PgBouncerOptions
 * @property {"transaction" | "session"} [mode] - When a client gives its connection back. Default: transaction.
 * @property {number} [poolSize] - Connections to the server. Default: 4.
 */

/** @typedef {ServerProcess & { readonly url: string }} PgBouncer */

/** Debian keeps it off the PATH of users. */
const SBIN = ["/usr/sbin", "/usr/local/sbin"];

/** The pooler's program: `PGBOUNCER` if set. @returns {string | undefined} */
export function findPgBouncer() {
  return process.env["PGBOUNCER"] ?? which(["pgbouncer"], SBIN);
}

/**
 * Starts a PgBouncer of the caller's own.
 *
 * @param {string} databaseUrl - The server behind it: any database of that can be had, by the user of this URL.
 * @param {PgBouncerOptions} [options]
 * @returns {Promise<PgBouncer>} Its `url` is `databaseUrl` through it.
 * @throws {Error} When this machine has none, or it does not start: then with the end of its log.
 */
export async function startPgBouncer(databaseUrl, { mode = "transaction", poolSize = 4 } = {}) {
  const program = findPgBouncer();
  if (program === undefined) throw new Error("no pgbouncer here: apt-get install pgbouncer");
  const target = new URL(databaseUrl);
  const home = await serverHome("pgbouncer", "SIGINT");
  // It refuses root, as PostgreSQL does.
  const owner = serverUser();
  if (owner !== undefined) chownSync(home.folder, owner.uid, owner.gid);
  chmodSync(home.folder, 0o700);
  const file = join(home.folder, "pgbouncer.ini");
  const lines = [
    "[databases]",
    `* = host=${target.hostname} port=${target.port} user=${target.username}`,
    "[pgbouncer]",
    "listen_addr = 127.0.0.1",
    `listen_port = ${home.port}`,
    "unix_socket_dir =",
    "auth_type = any",
    `pool_mode = ${mode}`,
    `default_pool_size = ${poolSize}`,
    "server_login_retry = 0.1",
  ];
  writeFileSync(file, `${lines.join("\n")}\n`, { mode: 0o644 });
  const command = () => ({ file: program, args: [file], ...owner });
  const server = new ServerProcess("pgbouncer", home, command, async () => {
    await ask(home.port, SSL_REQUEST, /^N/);
    await ask(home.port, startupPacket(), /^R/);
  });
  await server.startOrRelease();
  target.port = String(home.port);
  return Object.assign(server, { url: target.href });
}
