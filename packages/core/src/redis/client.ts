// What is asked of a Redis client. ioredis fits, alone or as a Cluster.

/** A client of Redis 6.2 or later, or Valkey. `Redis` and `Cluster` of ioredis are ones. */
export interface RedisClient {
  /**
   * As ioredis reports it. Only a `"ready"` client is sent anything; without the property it always counts as
   * ready.
   */
  readonly status?: string;
  /** Whether keys of one script must be in one slot, as ioredis says of its `Cluster`. */
  readonly isCluster?: boolean;
  /** Of a Cluster: its nodes, as ioredis knows them. */
  nodes?(role: "master"): readonly RedisClient[];
  evalsha(sha1: string, keyCount: number, ...keysAndArguments: string[]): Promise<unknown>;
  eval(lua: string, keyCount: number, ...keysAndArguments: string[]): Promise<unknown>;
  /** How many replicas have all that was written on this connection, at the latest after so many milliseconds. */
  wait?(replicas: number, timeoutMs: number): Promise<number>;
  /** Starts a client that was made with `lazyConnect`. */
  connect?(): Promise<unknown>;
  on?(event: "ready" | "close" | "end", listener: () => void): unknown;
  off?(event: "ready" | "close" | "end", listener: () => void): unknown;
}

/**
 * Options under which ioredis neither queues commands while it is disconnected nor sends them again after it has
 * reconnected: both would let a command take effect long after its caller was told that it failed. Nor does it subscribe
 * again by itself, which fails unhandled when the connection breaks meanwhile, and ends the process: our stores do that.
 *
 * @example
 * ```ts
 * import { Redis } from "ioredis";
 * import { REDIS_CLIENT_OPTIONS } from "@holdfast/core/redis";
 *
 * const redis = new Redis({ ...REDIS_CLIENT_OPTIONS, lazyConnect: true });
 * redis.options.enableOfflineQueue; // => false
 * ```
 */
export const REDIS_CLIENT_OPTIONS: {
  readonly enableOfflineQueue: false;
  readonly autoResendUnfulfilledCommands: false;
  readonly autoResubscribe: false;
  readonly maxRetriesPerRequest: 0;
} = {
  enableOfflineQueue: false,
  autoResendUnfulfilledCommands: false,
  autoResubscribe: false,
  maxRetriesPerRequest: 0,
};
