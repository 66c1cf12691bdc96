// Starts the Redis and the PostgreSQL that the integration tests share, and says loudly when one is missing.
import { startPostgres } from "./postgres.mjs";
import { startRedis } from "./redis.mjs";

/**
 * Vitest's global setup: provides `redisUrl` and `databaseUrl`, empty when there is no such server.
 *
 * @param {import("vitest/node").TestProject} project
 */
export default async function setup(project) {
  const [redis, postgres] = await Promise.all([
    shared("Redis", "REDIS_URL", "apt-get install redis-server", startRedis),
    shared("PostgreSQL", "DATABASE_URL", "apt-get install postgresql", startPostgres),
  ]);
  project.provide("redisUrl", redis.url);
  project.provide("databaseUrl", postgres.url);
  return () => Promise.all([redis.stop(), postgres.stop()]);
}

/**
 * @param {string} name
 * @param {string} variable - Environment variable that names a server to use.
 * @param {string} help
 * @param {() => Promise<{ readonly url: string, stop(): Promise<void> }>} start
 */
async function shared(name, variable, help, start) {
  const given = process.env[variable];
  if (given !== undefined && given !== "") return { url: given, stop: async () => {} };
  try {
    return await start();
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    if (process.env["CI"] === "true") throw new Error(`${name} is missing: ${why}`, { cause: error });
    console.error(
      `\n${"!".repeat(72)}\n${name}: SUITES NOT RUN (${why}).\nTo run them: ${help}, or set ${variable}.\n${"!".repeat(72)}\n`,
    );
    return { url: "", stop: async () => {} };
  }
}
