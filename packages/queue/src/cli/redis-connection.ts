// The client that fits a Redis: for one alone, or for a Cluster when the server says that it is of one.
import { REDIS_CLIENT_OPTIONS, redisFailure } from "@holdfast/core/redis";
import type { Cluster, Redis, RedisOptions } from "ioredis";
import { MissingPeerError } from "./cli-errors.ts";

/** A client that is connected. */
export interface RedisConnection {
  readonly client: Redis | Cluster;
  /** All masters: of a Redis alone, itself. By host and port. */
  readonly masters: () => ReadonlyMap<string, Redis>;
}

/**
 * Connects, each step within `timeoutMs`.
 *
 * @throws MissingPeerError, StoreUnavailableError
 */
export async function connectRedis(url: string, timeoutMs: number): Promise<RedisConnection> {
  const ioredis = await import("ioredis").catch((error: unknown) => {
    throw new MissingPeerError("ioredis", "--redis", { cause: error });
  });
  const at = addressOf(url);
  const options = {
    ...REDIS_CLIENT_OPTIONS,
    ...at.secrets,
    connectTimeout: timeoutMs,
    commandTimeout: timeoutMs,
    retryStrategy: () => null,
    lazyConnect: true,
  };
  const alone = quiet(new ioredis.Redis(url, { ...options, enableReadyCheck: false }));
  // ioredis rejects with no more than "Connection is closed."; why it is, it tells here.
  let reason: Error | undefined;
  alone.on("error", (error) => (reason = error));
  try {
    await alone.connect();
    if (!/^cluster_enabled:1\s*$/m.test(await alone.info("cluster")))
      return { client: alone, masters: () => new Map([[at.name, alone]]) };
    alone.disconnect();
  } catch (error) {
    alone.disconnect();
    throw redisFailure(reason ?? error);
  }
  const cluster = quiet(
    new ioredis.Cluster([{ host: at.host, port: at.port }], {
      redisOptions: options,
      clusterRetryStrategy: () => null,
      slotsRefreshTimeout: timeoutMs,
      enableOfflineQueue: false,
      lazyConnect: true,
    }),
  );
  try {
    await cluster.connect();
  } catch (error) {
    cluster.disconnect();
    throw redisFailure(error);
  }
  return {
    client: cluster,
    masters: () =>
      new Map(cluster.nodes("master").map((node) => [`${node.options.host}:${node.options.port}`, node])),
  };
}

/** What goes wrong is told by the calls. */
function quiet<T extends Redis | Cluster>(client: T): T {
  client.on("error", () => {});
  return client;
}

/** Other nodes of a Cluster want the same user and password, and TLS, as the one that is named. */
function addressOf(text: string): {
  readonly host: string;
  readonly port: number;
  readonly name: string;
  readonly secrets: Pick<RedisOptions, "username" | "password" | "tls">;
} {
  const url = new URL(text);
  const host = url.hostname.replace(/^\[|\]$/g, "");
  const port = url.port === "" ? 6379 : Number(url.port);
  return {
    host,
    port,
    name: `${host}:${port}`,
    secrets: {
      ...(url.username === "" ? {} : { username: decodeURIComponent(url.username) }),
      ...(url.password === "" ? {} : { password: decodeURIComponent(url.password) }),
      ...(url.protocol === "rediss:" ? { tls: {} } : {}),
    },
  };
}
