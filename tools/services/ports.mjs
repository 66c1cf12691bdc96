// Loopback ports that several test runs on one machine never give out twice.
import { randomInt } from "node:crypto";
import {
  chmodSync,
  closeSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

// Below the range that systems take from for outgoing connections: none of those can be on our port while its
// server is down for a moment.
const RANGE = { first: 20_000, last: 29_999 };

/** For nodes of a Redis Cluster, which listen on a second port as well, 10,000 above: one that nobody else is given. */
export const CLUSTER_RANGE = { first: 20_000, last: 21_999 };

const ATTEMPTS = 200;
/** A claim without an owner is being written right now, unless it is older than this, in milliseconds. */
const NAMELESS_MS = 5_000;

/**
 * @typedef {object} ClaimedPort
 * @property {number} port
 * @property {string} claim - File that says so; whoever removes it gives the port back.
 */

/**
 * A free port that stays ours while its server restarts.
 *
 * @param {{ first: number, last: number }} [range]
 * @returns {Promise<ClaimedPort>}
 */
export async function claimPort({ first, last } = RANGE) {
  // One folder for all runs on this machine.
  const folder = join(tmpdir(), "holdfast-ports");
  mkdirSync(folder, { recursive: true });
  try {
    // Test runs of other users share it.
    chmodSync(folder, 0o1777);
  } catch {
    // It is another user's, who did that.
  }
  for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
    const port = randomInt(first, last + 1);
    const claim = join(folder, String(port));
    if (!tryClaim(claim)) continue;
    if (await isFree(port)) return { port, claim };
    rmSync(claim, { force: true });
  }
  throw new Error(`no free port between ${first} and ${last} after ${ATTEMPTS} attempts; claims: ${folder}`);
}

/** @param {string} claim */
function tryClaim(claim) {
  try {
    const file = openSync(claim, "wx");
    writeSync(file, String(process.pid));
    closeSync(file);
    return true;
  } catch {
    // For whoever comes next. To take it now could take it from somebody who has just done the same.
    if (isAbandoned(claim)) rmSync(claim, { force: true });
    return false;
  }
}

/** @param {string} claim */
function isAbandoned(claim) {
  try {
    const owner = Number(readFileSync(claim, "utf8"));
    if (owner === 0) return Date.now() - statSync(claim).mtimeMs > NAMELESS_MS;
    process.kill(owner, 0);
    return false;
  } catch (error) {
    return /** @type {NodeJS.ErrnoException} */ (error).code === "ESRCH";
  }
}

/** @param {number} port */
function isFree(port) {
  return new Promise((resolve) => {
    const server = createServer();
    server.on("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}
