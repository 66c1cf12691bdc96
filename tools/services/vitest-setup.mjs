// Starts the Redis and the PostgreSQL that the integration tests share, finds a PgBouncer and a Chromium, and says loudly when one is missing.
import { findChromium } from "./chromium.mjs";
import { ensureChromium, ensurePgBouncer, ensurePostgres, ensureRedis } from "./install.mjs";
import { findPgBouncer } from "./pgbouncer.mjs";
import { startPostgres } from "./postgres.mjs";
import { startRedis } from "./redis.mjs";

/**
 * @typedef {object} Kind
 * @property {string} name
 * @property {string} variable - Environment variable that names a server to use.
 * @property {string} help - How to get one.
 * @property {() => Promise<void>} ensure
 * @property {() => Promise<{ readonly url: string, stop(): Promise<void> }>} start
 */

/** @typedef {{ url: string, starts: boolean, missing: string | undefined, stop(): Promise<void> }} Shared */

/** @type {Kind} */
const REDIS = {
  name: "Redis",
  variable: "REDIS_URL",
  help: "apt-get install redis-server",
  ensure: ensureRedis,
  start: startRedis,
};
/** @type {Kind} */
const POSTGRES = {
  name: "PostgreSQL",
  variable: "DATABASE_URL",
  help: "apt-get install postgresql",
  ensure: ensurePostgres,
  start: startPostgres,
};
/** Not a server: what is shared is the path of its program. @type {Kind} */
const CHROMIUM = {
  name: "Chromium",
  variable: "CHROMIUM",
  help: "apt-get install chromium",
  ensure: ensureChromium,
  start: async () => ({ url: findChromium() ?? "", stop: async () => {} }),
};
/** As a Chromium; each test starts its own. @type {Kind} */
const PGBOUNCER = {
  name: "PgBouncer",
  variable: "PGBOUNCER",
  help: "apt-get install pgbouncer",
  ensure: ensurePgBouncer,
  start: async () => ({ url: findPgBouncer() ?? "", stop: async () => {} }),
};
const LINE = "!".repeat(78);

/**
 * Vitest's global setup: provides `redisUrl`, `databaseUrl` and `chromium`, empty when there is no such thing, and whether
 * tests can start servers of their own.
 *
 * @param {import("vitest/node").TestProject} project
 * @throws {Error} With `CI=true`, when a server is missing.
 */
export default async function setup(project) {
  // One after the other: all may need apt-get.
  const redis = await shared(REDIS);
  const postgres = await shared(POSTGRES);
  const pgBouncer = await shared(PGBOUNCER);
  const chromium = await shared(CHROMIUM);
  const all = [redis, postgres, pgBouncer, chromium];
  const missing = all.map((one) => one.missing).filter((text) => text !== undefined);
  project.provide("redisUrl", redis.url);
  project.provide("databaseUrl", postgres.url);
  project.provide("chromium", chromium.url);
  project.provide("startsRedis", redis.starts);
  project.provide("startsPostgres", postgres.starts);
  project.provide("startsPgBouncer", postgres.starts && pgBouncer.starts);
  const stop = () => Promise.all([redis.stop(), postgres.stop()]);
  if (missing.length > 0 && process.env["CI"] === "true") {
    await stop();
    throw new Error(`with CI=true no suite may be left out.\n${missing.join("\n")}`);
  }
  for (const text of missing) console.error(`\n${LINE}\n${text}\n${LINE}\n`);
  return async () => {
    await stop();
    if (missing.length > 0) console.error(`\n${LINE}\n${summaryOf(project, missing)}\n${LINE}`);
  };
}

/**
 * A server given by the environment, else one of ours.
 *
 * @param {Kind} kind
 * @returns {Promise<Shared>}
 */
async function shared({ name, variable, help, ensure, start }) {
  const given = process.env[variable] ?? "";
  /** @param {unknown} error @param {string} which */
  const lacking = (error, which) =>
    `${name}: SUITES NOT RUN, ${which} (${error instanceof Error ? error.message : String(error)}).\n` +
    `To run them: ${help}${given === "" ? `, or set ${variable}` : ""}.`;
  try {
    await ensure();
    if (given === "") return { ...view(await start()), starts: true, missing: undefined };
    return { url: given, starts: true, missing: undefined, stop: async () => {} };
  } catch (error) {
    const which = given === "" ? "all of them" : "those that start servers of their own";
    return { url: given, starts: false, missing: lacking(error, which), stop: async () => {} };
  }
}

/** @param {{ readonly url: string, stop(): Promise<void> }} server */
function view(server) {
  return { url: server.url, stop: () => server.stop() };
}

/**
 * @param {import("vitest/node").TestProject} project
 * @param {readonly string[]} missing
 */
function summaryOf(project, missing) {
  const modules = project.vitest.state.getTestModules().filter((one) => one.project.name === project.name);
  const skipped = modules.flatMap((one) => [...one.children.allTests("skipped")]).length;
  return `NOT RUN: ${skipped} tests, for lack of what they need.\n${missing.join("\n")}`;
}
