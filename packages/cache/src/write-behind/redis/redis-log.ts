// A write log in Redis: one script run per verb, decided by the server's clock.
import type { Clock, Duration } from "@holdfast/core";
import { optionsOf } from "@holdfast/core";
import type { RedisClient, RedisRunner, RedisScript } from "@holdfast/core/redis";
import { keyPrefix, redisRunner, redisScript } from "@holdfast/core/redis";
import type {
  AppendOutcome,
  AppendRequest,
  Claim,
  Claimed,
  ClaimRef,
  ClaimRequest,
  DeadEntry,
  SettleOutcome,
  Settlement,
  StoreCallOptions,
  WriteLog,
  WriteLogStats,
  WriteLogTraits,
} from "../log.ts";
import WRITE_LOG_LUA from "./write-log.lua";

export interface RedisWriteLogOptions {
  /** `Redis` or `Cluster` of ioredis, best made with `REDIS_CLIENT_OPTIONS`. Stays open: it is its owner's. */
  readonly client: RedisClient;
  /** Whose writes are in it: processes with the same name share it. 1 to 100 characters without braces. */
  readonly name: string;
  /** Before the name of every key; 1 to 100 characters without braces. @defaultValue "holdfast:write-log:" */
  readonly prefix?: string;
  /** How long one call may take, from 1 ms. @defaultValue "2s" */
  readonly deadline?: Duration;
  /** For the deadline only: delays and leases go by the server's clock. @defaultValue systemClock */
  readonly clock?: Clock;
}

/** The defaults of `redisWriteLog`. */
export const REDIS_WRITE_LOG_DEFAULTS: { readonly prefix: string; readonly deadlineMs: number } = {
  prefix: "holdfast:write-log:",
  deadlineMs: 2_000,
};

const KEYS = ["values", "rows", "errors", "fresh", "due", "since", "dead", "latest"] as const;

/** Most keys that one run of the script is about, so that no other client of the server waits long. */
const MAX_KEYS = 500;

const SCRIPT: RedisScript = /* @__PURE__ */ redisScript({
  name: "write-log",
  lua: WRITE_LOG_LUA,
  keys: KEYS,
});

/**
 * Keeps writes in Redis 6.2 or later, Valkey, or a Cluster of them, for any number of processes. All of one log is in one
 * slot of a Cluster, so what one node can keep is its bound.
 *
 * Its loss window is the server's: with `appendfsync always` nothing that was acknowledged is lost when the server is
 * killed; with `everysec` about the last second; with neither an append-only file nor a replica, everything. A failover
 * loses what the replica did not have yet. The server needs `maxmemory-policy noeviction`; `inspectRedis` of
 * `@holdfast/core/redis` tells.
 *
 * @throws InvalidOptionError when an option is out of range.
 *
 * @example
 * ```ts no-run: needs a Redis
 * import { Redis } from "ioredis";
 * import { writeBehind } from "@holdfast/cache";
 * import { redisWriteLog } from "@holdfast/cache/redis";
 * import { REDIS_CLIENT_OPTIONS } from "@holdfast/core/redis";
 *
 * const client = new Redis("redis://127.0.0.1:6379", REDIS_CLIENT_OPTIONS);
 * const behind = writeBehind({
 *   log: redisWriteLog({ client, name: "stock" }),
 *   write: async (id: string, stock: number) => console.log(id, stock),
 * });
 * ```
 */
export function redisWriteLog(options: RedisWriteLogOptions): WriteLog {
  const owner = "redisWriteLog";
  const { prefix, deadlineMs } = REDIS_WRITE_LOG_DEFAULTS;
  const place = keyPrefix(owner, options.prefix, prefix);
  const name = optionsOf(owner).string("name", options.name, 100);
  if (/[{}]/.test(name)) optionsOf(owner).refuse("name", name, "text without { and }");
  const runner = redisRunner({ ...options, deadline: options.deadline ?? deadlineMs });
  return new RedisWriteLog(
    runner,
    KEYS.map((key) => `${place}{${name}}:${key}`),
  );
}

class RedisWriteLog implements WriteLog {
  readonly traits: WriteLogTraits = { shared: true, clock: "server", durability: "server" };

  constructor(
    private readonly runner: RedisRunner,
    private readonly keys: readonly string[],
  ) {}

  async append(
    { key, value, delayMs, maxKeys }: AppendRequest,
    options?: StoreCallOptions,
  ): Promise<AppendOutcome> {
    const reply = (await this.#run(options, "append", key, value, delayMs, maxKeys)) as [string, string];
    const [kind, number] = reply;
    return kind === "full" ? { kind, keys: Number(number) } : { kind: "appended", version: Number(number) };
  }

  async read(key: string, options?: StoreCallOptions): Promise<string | undefined> {
    return ((await this.#run(options, "read", key)) as string | null) ?? undefined;
  }

  async claim({ limit, leaseMs, early }: ClaimRequest, options?: StoreCallOptions): Promise<Claimed> {
    const most = Math.min(limit, MAX_KEYS);
    const reply = (await this.#run(options, "claim", most, leaseMs, early ? 1 : 0)) as readonly string[];
    const [next = "", ...words] = reply;
    const claims: Claim[] = [];
    for (let at = 0; at < words.length; at += 5) {
      const [key = "", value = "", version, fence, attempt] = words.slice(at, at + 5);
      claims.push({
        key,
        value,
        version: Number(version),
        fence: Number(fence),
        attempt: Number(attempt),
      });
    }
    // What was left out for its number is due now.
    if (claims.length === most && most < limit) return { claims, nextInMs: 0 };
    return next === "" ? { claims } : { claims, nextInMs: Number(next) };
  }

  renew(
    claims: readonly ClaimRef[],
    leaseMs: number,
    options?: StoreCallOptions,
  ): Promise<readonly SettleOutcome[]> {
    return this.#inParts(claims, async (part) => {
      const words = part.flatMap(({ key, fence }) => [fence, key]);
      return (await this.#run(options, "renew", leaseMs, ...words)) as readonly SettleOutcome[];
    });
  }

  settle(settlements: readonly Settlement[], options?: StoreCallOptions): Promise<readonly SettleOutcome[]> {
    return this.#inParts(settlements, async (part) => {
      const words = part.flatMap(wordsOf);
      return (await this.#run(options, "settle", ...words)) as readonly SettleOutcome[];
    });
  }

  async stats(options?: StoreCallOptions): Promise<WriteLogStats> {
    const reply = (await this.#run(options, "stats")) as readonly [number, number, string, string];
    const [pending, dead, latest, oldest] = reply;
    const all = { pending, dead, latest: Number(latest) };
    return oldest === "" ? all : { ...all, oldest: Number(oldest) };
  }

  async deadEntries(
    limit: number,
    offset: number,
    options?: StoreCallOptions,
  ): Promise<readonly DeadEntry[]> {
    const words = (await this.#run(options, "dead_entries", limit, offset)) as readonly string[];
    const entries: DeadEntry[] = [];
    for (let at = 0; at < words.length; at += 6) {
      const [key = "", value = "", version, attempts, error = "", diedAt] = words.slice(at, at + 6);
      entries.push({
        key,
        value,
        version: Number(version),
        attempts: Number(attempts),
        error,
        diedAtMs: Number(diedAt),
      });
    }
    return entries;
  }

  async redrive(keys?: readonly string[], options?: StoreCallOptions): Promise<number> {
    if (keys !== undefined) return this.#count("redrive", keys, options);
    let total = 0;
    for (let count = MAX_KEYS; count === MAX_KEYS; total += count)
      count = (await this.#run(options, "redrive_some", MAX_KEYS)) as number;
    return total;
  }

  discard(keys: readonly string[], options?: StoreCallOptions): Promise<number> {
    return this.#count("discard", keys, options);
  }

  async close(): Promise<void> {
    this.runner.close();
  }

  async #count(
    verb: string,
    keys: readonly string[],
    options: StoreCallOptions | undefined,
  ): Promise<number> {
    const counts = await this.#inParts(keys, async (part) => [
      (await this.#run(options, verb, ...part)) as number,
    ]);
    return counts.reduce((sum, count) => sum + count, 0);
  }

  async #inParts<In, Out>(
    items: readonly In[],
    run: (part: readonly In[]) => Promise<readonly Out[]>,
  ): Promise<readonly Out[]> {
    const outs: Out[] = [];
    for (let from = 0; from < items.length; from += MAX_KEYS)
      outs.push(...(await run(items.slice(from, from + MAX_KEYS))));
    return outs;
  }

  #run(
    options: StoreCallOptions | undefined,
    verb: string,
    ...words: readonly (string | number)[]
  ): Promise<unknown> {
    return this.runner.run(SCRIPT, this.keys, [verb, ...words], options?.signal);
  }
}

function wordsOf(settlement: Settlement): readonly (string | number)[] {
  const { key, fence, version, kind } = settlement;
  const delayMs = kind === "failed" ? settlement.delayMs : 0;
  const counts = kind === "failed" && settlement.counts ? 1 : 0;
  const error = kind === "failed" || kind === "dead" ? settlement.error : "";
  return [key, fence, version, kind, delayMs, counts, error];
}
