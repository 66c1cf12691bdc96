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

const OLDEST = "6.2";

const INFO: RedisScript = /* @__PURE__ */ redisScript({
  name: "inspect",
  keys: [],
  lua: "return redis.call('INFO')",
});

/**
 * Asks a Redis what it is. To be called at start-up, so that a wrong eviction policy is a line in the log and not a
 * lost key. Of a Cluster it asks every master that there is by then: each field is the worst that one of them has, and
 * what is wrong with several is said once. One that joins later is not asked.
 *
 * @throws StoreUnavailableError when it could not be asked, or one of the masters could not.
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
  const first = await inspectNode(options, signal);
  const { client } = options;
  // A Cluster that has answered knows its nodes.
  const masters = client.isCluster === true ? (client.nodes?.("master") ?? []) : [];
  if (masters.length === 0) return first;
  return worstOf(
    await Promise.all(masters.map((master) => inspectNode({ ...options, client: master }, signal))),
  );
}

async function inspectNode(options: RedisRunnerOptions, signal?: AbortSignal): Promise<RedisInspection> {
  const info = fieldsOf(String(await redisRunner(options).run(INFO, [], [], signal)));
  const version = info.get("redis_version") ?? "0";
  const role = info.get("role") ?? "unknown";
  const evictionPolicy = info.get("maxmemory_policy") ?? "unknown";
  const appendOnly = info.get("aof_enabled") === "1";
  return inspectionOf({ version, role, evictionPolicy, appendOnly });
}

function worstOf(each: readonly RedisInspection[]): RedisInspection {
  const worst = each.reduce((one, other) => ({
    version: isOlder(other.version, one.version) ? other.version : one.version,
    role: one.role === "master" ? other.role : one.role,
    evictionPolicy: one.evictionPolicy === "noeviction" ? other.evictionPolicy : one.evictionPolicy,
    appendOnly: one.appendOnly && other.appendOnly,
    warnings: [],
  }));
  return inspectionOf(worst);
}

function inspectionOf(found: Omit<RedisInspection, "warnings">): RedisInspection {
  const { version, role, evictionPolicy, appendOnly } = found;
  const warnings: string[] = [];
  if (isOlder(version, OLDEST)) warnings.push(`Redis ${version} is older than ${OLDEST}.`);
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

/** By major and minor. */
function isOlder(one: string, other: string): boolean {
  const [major = 0, minor = 0] = one.split(".").map(Number);
  const [otherMajor = 0, otherMinor = 0] = other.split(".").map(Number);
  return major < otherMajor || (major === otherMajor && minor < otherMinor);
}
