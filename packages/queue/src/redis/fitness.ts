// Whether a server can be trusted with tasks.
import type { Duration } from "@holdfast/core";
import type { RedisClient } from "@holdfast/core/redis";
import { inspectRedis } from "@holdfast/core/redis";
import { onceWell } from "../store/once-well.ts";
import { StoreUnfitError } from "../store/store-unfit-error.ts";

/** Resolves when the server is fit for tasks: asks until it is. Rejects with what is wrong. */
export function fitness(
  client: RedisClient,
  deadline: Duration,
  allowsEviction: boolean,
): () => Promise<void> {
  return onceWell(() => assertFit(client, deadline, allowsEviction));
}

async function assertFit(client: RedisClient, deadline: Duration, allowsEviction: boolean): Promise<void> {
  const { version, role, evictionPolicy } = await inspectRedis({ client, deadline });
  const [major = 0, minor = 0] = version.split(".").map(Number);
  const reasons: string[] = [];
  const whose = client.isCluster === true ? "The maxmemory-policy of a master" : "Its maxmemory-policy";
  if (major < 6 || (major === 6 && minor < 2)) reasons.push(`It is version ${version}, older than 6.2.`);
  if (role !== "master" && client.isCluster !== true) reasons.push(`It is a ${role}, which takes no writes.`);
  if (evictionPolicy !== "noeviction" && !allowsEviction)
    reasons.push(`${whose} is ${evictionPolicy}, which loses tasks; set it to noeviction.`);
  if (reasons.length > 0) throw new StoreUnfitError("redis", reasons);
}
