// Tasks in Redis: every verb is one run of one script, shared by all that is asked in one tick.
import type { Clock, Duration } from "@holdfast/core";
import { optionsOf, systemClock } from "@holdfast/core";
import { keyPrefix, redisRunner } from "@holdfast/core/redis";
import type { QueueStore } from "../store/store.ts";
import { fitness } from "./fitness.ts";
import { RedisQueues } from "./redis-queues.ts";
import type { RedisQueueClient } from "./subscription.ts";
import { Subscription } from "./subscription.ts";

export interface RedisTaskStoreOptions {
  /**
   * `Redis` or `Cluster` of ioredis, best made with `REDIS_CLIENT_OPTIONS`. Stays open: it is its owner's. A second
   * connection like it is opened for wake-ups once somebody waits, and closed with the store.
   */
  readonly client: RedisQueueClient;
  /** Before the name of every key; 1 to 100 characters without braces. @defaultValue "holdfast:queue:" */
  readonly prefix?: string;
  /** How long one call may take, from 1 ms. @defaultValue "2s" */
  readonly deadline?: Duration;
  /**
   * How many replicas must have what a call wrote before it is acknowledged, from 0. With at least one a failover to it
   * loses nothing that was acknowledged. Calls that wait for replicas in vain reject with `STORE_UNAVAILABLE` after half
   * of the deadline; a server with `min-replicas-to-write` refuses them at once. Not with a Cluster. @defaultValue 0
   */
  readonly replicas?: number;
  /**
   * How often those who wait look for themselves, in case a wake-up was lost; without a second connection the only way
   * they hear of anything. From 10 ms. @defaultValue "5s"
   */
  readonly poll?: Duration;
  /**
   * Completed and cancelled tasks kept in each queue; beyond it those go early that would go next, up to a hundredth of
   * this at a time. @defaultValue 100_000
   */
  readonly maxEnded?: number;
  /** Failed tasks kept in each queue; beyond it the oldest go early. @defaultValue 100_000 */
  readonly maxDeadLetters?: number;
  /** Events kept for each task; beyond it the oldest go. From 10. @defaultValue 200 */
  readonly maxEvents?: number;
  /**
   * Take a server that may evict keys, and so lose tasks. For tests and for caches of work that can be done without.
   * @defaultValue false
   */
  readonly allowEviction?: boolean;
  /** For the poll: tasks go by the server's clock. @defaultValue systemClock */
  readonly clock?: Clock;
}

/** The defaults of `redisTaskStore`. */
export const REDIS_TASK_STORE_DEFAULTS: {
  readonly prefix: string;
  readonly deadlineMs: number;
  readonly pollMs: number;
  readonly maxEnded: number;
  readonly maxDeadLetters: number;
  readonly maxEvents: number;
} = {
  prefix: "holdfast:queue:",
  deadlineMs: 2_000,
  pollMs: 5_000,
  maxEnded: 100_000,
  maxDeadLetters: 100_000,
  maxEvents: 200,
};

/**
 * Keeps tasks in Redis 6.2 or later, alone or as a Cluster, for any number of processes. A queue is twenty keys in one
 * slot, whatever its length. What is asked in one tick is one round trip; so is completing a task and claiming the next.
 *
 * Acknowledged means that Redis has taken it: whether it outlives a crash of the server is the server's business
 * (`appendonly yes` with `appendfsync always` loses nothing, `everysec` up to a second; a failover what the replica did
 * not have). A server that may evict keys, is a replica or is older than 6.2 is refused at the first call, and so is a
 * Cluster of which one master is so; one that joins later is not asked.
 *
 * @throws InvalidOptionError when an option is out of range. Calls reject with a {@link StoreUnfitError} when the server
 * could lose tasks, and with `STORE_UNAVAILABLE` when it could not be asked.
 *
 * @example
 * ```ts no-run: needs a Redis
 * import { Redis } from "ioredis";
 * import { REDIS_CLIENT_OPTIONS } from "@holdfast/core/redis";
 * import { queue } from "@holdfast/queue";
 * import { redisTaskStore } from "@holdfast/queue/redis";
 *
 * const client = new Redis("redis://127.0.0.1:6379", REDIS_CLIENT_OPTIONS);
 * const images = queue({ name: "images", store: redisTaskStore({ client }) });
 * ```
 */
export function redisTaskStore(options: RedisTaskStoreOptions): QueueStore {
  const owner = "redisTaskStore";
  const check = optionsOf(owner);
  const defaults = REDIS_TASK_STORE_DEFAULTS;
  const prefix = keyPrefix(owner, options.prefix, defaults.prefix);
  // The deadline runs on real time, as the server does.
  const deadline = options.deadline ?? defaults.deadlineMs;
  const { client, replicas = 0 } = options;
  const runner = redisRunner({ client, deadline, replicas });
  const allowsEviction = check.boolean("allowEviction", options.allowEviction, false);
  return new RedisQueues(prefix, {
    runner,
    fit: fitness(client, deadline, allowsEviction),
    subscription: new Subscription(client),
    clock: options.clock ?? systemClock,
    pollMs: check.duration("poll", options.poll, { min: 10 }, defaults.pollMs),
    bounds: {
      maxEnded: check.integer("maxEnded", options.maxEnded, { min: 1 }, defaults.maxEnded),
      maxDeadLetters: check.integer(
        "maxDeadLetters",
        options.maxDeadLetters,
        { min: 1 },
        defaults.maxDeadLetters,
      ),
      maxEvents: check.integer("maxEvents", options.maxEvents, { min: 10 }, defaults.maxEvents),
    },
  });
}
