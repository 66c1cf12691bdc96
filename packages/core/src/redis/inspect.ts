// What a Redis is, and what about it could lose or refuse our keys.
import type { RedisRunnerOptions, RedisScript } from "./redis-script.ts";
import { redisRunner, redisScript } from "./redis-script.ts";

export interface RedisInspection {
  /** `7.0.15`; of Valkey the version of Redis that it stands for. */
  readonly version: string;
  /** `master` or `slave`. */
  readonly role: string;
  /** `noeviction`, `allkeys-lru`, … */
  readonly evictionPolicy: string;
  /** Whether writes are kept in an append-only file. */
  readonly appendOnly: boolean;
  /** One sentence for each thing that is wrong for keys which must not get lost; none when all is well. */
  readonly warnings: readonly string[];
}

const OLDEST = [6, 2] as const;

const INFO: RedisScript = /* @__PURE__ */ redisScript({
  name: "inspect",
  keys: [],
  lua: "return redis.call('INFO')",
});

/**
 * Asks a Redis what it is. To be called at start-up, so that a wrong eviction policy is a line in the log and not a
 * lost key. Of a Cluster it asks one node.
 *
 * @throws StoreUnavailableError when it could not be asked.
 *
 * @example
 * ```ts no-run: needs a Redis
 * import { Redis } from "ioredis";
 * import { inspectRedis } from "@holdfast/core/redis";
 *
 * const { warnings } = await inspectRedis({ client: new Redis() });
 * for (const warning of warnings) console.warn(warning);
 * ```
 */
export async function inspectRedis(
  options: RedisRunnerOptions,
  signal?: AbortSignal,
): Promise<RedisInspection> {
  const info = fieldsOf(String(await redisRunner(options).run(INFO, [], [], signal)));
  const version = info.get("redis_version") ?? "0";
  const role = info.get("role") ?? "unknown";
  const evictionPolicy = info.get("maxmemory_policy") ?? "unknown";
  const appendOnly = info.get("aof_enabled") === "1";
  const warnings: string[] = [];
  if (!isAtLeast(version, OLDEST)) warnings.push(`Redis ${version} is older than ${OLDEST.join(".")}.`);
  if (role !== "master") warnings.push(`The server is a ${role}: it takes no writes.`);
  if (evictionPolicy !== "noeviction")
    warnings.push(`maxmemory-policy is ${evictionPolicy}: keys can be lost. Set it to noeviction.`);
  if (!appendOnly)
    warnings.push("appendonly is off: a restart loses what was written since the last snapshot.");
  return { version, role, evictionPolicy, appendOnly, warnings };
}

function fieldsOf(info: string): ReadonlyMap<string, string> {
  const fields = info.split(/\r?\n/).map((line): [string, string] => {
    const colon = line.indexOf(":");
    return [line.slice(0, Math.max(0, colon)), line.slice(colon + 1)];
  });
  return new Map(fields);
}

function isAtLeast(version: string, [major, minor]: readonly [number, number]): boolean {
  const [has = 0, hasMinor = 0] = version.split(".").map(Number);
  return has > major || (has === major && hasMinor >= minor);
}
