// A private PostgreSQL for a test.
import { spawnSync } from "node:child_process";
import { chmodSync, chownSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { runQuietly } from "../bootstrap/run-command.mjs";
import { ask } from "./ask.mjs";
import { findPostgres } from "./postgres-binaries.mjs";
import { SSL_REQUEST, startupPacket } from "./postgres-hello.mjs";
import { DISK, serverHome } from "./server-home.mjs";
import { ServerProcess } from "./server-process.mjs";
import { mountSmallDisk } from "./small-disk.mjs";

/**
 * @typedef {object} PostgresOptions
 * @property {boolean} [durable] - Commits reach the disk before they are acknowledged. Default: fsync is off.
 * @property {Readonly<Record<string, string>>} [settings] - Further settings of the server.
 * @property {number} [diskMiB] - Its data lies on a disk of its own of this size, from 64, where `canMountDisks()`.
 */

/**
 * @typedef {object} PostgresParts
 * @property {string} url
 * @property {import("./small-disk.mjs").SmallDisk | undefined} disk - Its own, if it has one.
 */
/** @typedef {ServerProcess & Readonly<PostgresParts>} PostgresServer */

const FAST = { fsync: "off", synchronous_commit: "off", full_page_writes: "off" };
/** Segments of its log of 1 MiB, of which there is one at first: on a small disk most is for data. */
const SMALL_WAL = ["--wal-segsize", "1"];
/** Longest `initdb`, in milliseconds. */
const INIT_LIMIT_MS = 60_000;
/** User and group `nobody`. */
const NOBODY = { uid: 65_534, gid: 65_534 };

/**
 * Starts a PostgreSQL of the caller's own: user `postgres`, no password, database `postgres`.
 *
 * @param {PostgresOptions} [options]
 * @returns {Promise<PostgresServer>}
 * @throws {Error} When this machine has none, or it does not start: then with the end of its log.
 */
export async function startPostgres(options = {}) {
  const bin = findPostgres();
  if (bin === undefined) throw new Error("no PostgreSQL here: apt-get install postgresql");
  const home = await serverHome("postgres", "SIGINT");
  const { folder, port } = home;
  const owner = serverUser();
  if (owner !== undefined) chownSync(folder, owner.uid, owner.gid);
  chmodSync(folder, 0o700);
  const disk = options.diskMiB === undefined ? undefined : diskIn(home, options.diskMiB, owner);
  const data = join(folder, disk === undefined ? "" : DISK, "data");
  const flags = Object.entries({
    listen_addresses: "127.0.0.1",
    port: String(port),
    unix_socket_directories: folder,
    max_connections: "200",
    ...(options.durable === true ? {} : FAST),
    ...options.settings,
  }).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
  const command = () => {
    forgetReusedPid(join(data, "postmaster.pid"));
    return { file: join(bin, "postgres"), args: ["-D", data, ...flags], ...owner };
  };
  const release = () => {
    disk?.unmount();
    home.release();
  };
  const server = new ServerProcess("postgres", { ...home, release }, command, async () => {
    await ask(port, SSL_REQUEST, /^N/);
    await ask(port, startupPacket(), /^R/);
  });
  try {
    await initialise(bin, data, owner, disk === undefined ? [] : SMALL_WAL);
  } catch (error) {
    await server.stop();
    throw error;
  }
  await server.startOrRelease();
  return Object.assign(server, { url: `postgres://postgres@127.0.0.1:${port}/postgres`, disk });
}

/**
 * @param {import("./server-home.mjs").ServerHome} home - Released when that cannot be had.
 * @param {number} mebibytes
 * @param {{ uid: number, gid: number } | undefined} owner
 */
function diskIn(home, mebibytes, owner) {
  try {
    return mountSmallDisk(join(home.folder, DISK), mebibytes, owner);
  } catch (error) {
    home.release();
    throw error;
  }
}

/**
 * @param {string} bin
 * @param {string} data
 * @param {{ uid: number, gid: number } | undefined} owner
 * @param {readonly string[]} args - Further ones.
 */
async function initialise(bin, data, owner, args) {
  const { code, output } = await runQuietly(
    join(bin, "initdb"),
    ["-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync", ...args],
    {
      cwd: join(data, ".."),
      env: { ...process.env, LC_ALL: "C.UTF-8" },
      limitMs: INIT_LIMIT_MS,
      ...owner,
    },
  );
  if (code !== 0) throw new Error(`initdb failed:\n${output}`);
}

/** Whom such a server runs as: it refuses root. */
export function serverUser() {
  if (process.getuid?.() !== 0) return undefined;
  const id = (/** @type {string} */ flag) =>
    Number(spawnSync("id", [flag, "postgres"], { encoding: "utf8" }).stdout);
  const [uid, gid] = [id("-u"), id("-g")];
  return uid > 0 ? { uid, gid } : NOBODY;
}

// A killed server leaves this file. The next one needs it, to free the old one's shared memory, but refuses to
// start when the number in it belongs to somebody else by now.
/** @param {string} pidFile */
function forgetReusedPid(pidFile) {
  try {
    process.kill(Number(readFileSync(pidFile, "utf8").split("\n")[0]), 0);
    rmSync(pidFile);
  } catch {
    // No file, or nobody has that number.
  }
}
