// A private PostgreSQL for a test.
import { execFileSync, spawnSync } from "node:child_process";
import { chmodSync, chownSync, rmSync } from "node:fs";
import { join } from "node:path";
import { ask, freePort, newFolder, ServerProcess } from "./process.mjs";
import { findPostgres } from "./postgres-binaries.mjs";

/**
 * @typedef {object} PostgresOptions
 * @property {boolean} [durable] - Commits reach the disk before they are acknowledged. Default: fsync is off.
 * @property {Readonly<Record<string, string>>} [settings] - Further settings of the server.
 */

/** @typedef {ServerProcess & { readonly url: string, readonly port: number } & AsyncDisposable} PostgresServer */

/** The protocol's SSLRequest, which every server answers with one letter before it knows who asks. */
const SSL_REQUEST = Uint8Array.of(0, 0, 0, 8, 4, 210, 22, 47);

/**
 * Starts a PostgreSQL of the caller's own: user `postgres`, no password, database `postgres`.
 *
 * @param {PostgresOptions} [options]
 * @returns {Promise<PostgresServer>}
 */
export async function startPostgres(options = {}) {
  const bin = findPostgres();
  if (bin === undefined) throw new Error("no PostgreSQL here: apt-get install postgresql");
  const folder = newFolder("postgres");
  const owner = serverUser();
  chmodSync(folder, 0o700);
  if (owner !== undefined) chownSync(folder, owner.uid, owner.gid);
  const data = join(folder, "data");
  execFileSync(
    join(bin, "initdb"),
    ["-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync"],
    {
      cwd: folder,
      stdio: "ignore",
      env: { ...process.env, LC_ALL: "C.UTF-8" },
      ...owner,
    },
  );
  const port = await freePort();
  const settings = {
    listen_addresses: "127.0.0.1",
    port: String(port),
    unix_socket_directories: folder,
    max_connections: "200",
    ...(options.durable === true ? {} : { fsync: "off", synchronous_commit: "off", full_page_writes: "off" }),
    ...options.settings,
  };
  const flags = Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
  const command = () => {
    // Left by a server that was killed; its process number may belong to somebody else by now.
    rmSync(join(data, "postmaster.pid"), { force: true });
    return { file: join(bin, "postgres"), args: ["-D", data, ...flags], ...owner };
  };
  const server = new ServerProcess("postgres", folder, command, async () => {
    await ask(port, SSL_REQUEST, "N");
    await ask(port, startupPacket(), "R");
  });
  await server.start();
  return Object.assign(server, {
    url: `postgres://postgres@127.0.0.1:${port}/postgres`,
    port,
    [Symbol.asyncDispose]: () => server.stop(),
  });
}

/** Whom the server runs as: it refuses root. */
function serverUser() {
  if (process.getuid?.() !== 0) return undefined;
  const id = (/** @type {string} */ flag) =>
    Number(spawnSync("id", [flag, "postgres"], { encoding: "utf8" }).stdout);
  const [uid, gid] = [id("-u"), id("-g")];
  if (!(uid > 0)) throw new Error("PostgreSQL refuses to run as root, and there is no user postgres");
  return { uid, gid };
}

// While it recovers, the server answers SSLRequest already but refuses sessions ("E"); "R" is its welcome.
function startupPacket() {
  const text = Buffer.from("user\0postgres\0database\0postgres\0\0");
  const packet = Buffer.alloc(8 + text.length);
  packet.writeInt32BE(packet.length, 0);
  packet.writeInt32BE(196_608, 4);
  text.copy(packet, 8);
  return packet;
}
