// Shared values in Redis: what all callers ask in one tick is answered by one run of one script.
import type { Clock, Duration } from "@holdfast/core";
import { optionsOf } from "@holdfast/core";
import type { RedisClient, RedisRunner, RedisScript, TickBatch } from "@holdfast/core/redis";
import { hashTagOf, keyPrefix, redisRunner, redisScript, tickBatch } from "@holdfast/core/redis";
import type {
  CacheChanges,
  CacheCursor,
  CacheLease,
  CacheRead,
  CacheReading,
  CacheRegion,
  CacheStore,
  CacheStoreTraits,
  RegionWatcher,
  SharedEntry,
  SharedValue,
} from "../shared/store.ts";
import CACHE_LUA from "./cache.lua";
import type { RedisSubscriber } from "./redis-news.ts";
import { RedisNews } from "./redis-news.ts";

export interface RedisCacheStoreOptions {
  /** `Redis` or `Cluster` of ioredis, best made with `REDIS_CLIENT_OPTIONS`. Stays open: it is its owner's. */
  readonly client: RedisClient;
  /**
   * A second connection, by which a process hears at once that something has changed instead of at its next question.
   * What it does not hear does no harm. Stays open. @defaultValue none
   */
  readonly subscriber?: RedisSubscriber;
  /** Before the name of every key; 1 to 100 characters without braces. @defaultValue "holdfast:cache:" */
  readonly prefix?: string;
  /** How long one call may take, from 1 ms. @defaultValue "500ms" */
  readonly deadline?: Duration;
  /**
   * Over how many slots of a Cluster the keys of a cache are spread. A tag's invalidation, and the question what has
   * changed, go to each of them. The same in all processes. 1 to 256. @defaultValue 16 for a Cluster, else 1
   */
  readonly slots?: number;
  /** For the deadline only: values and leases go by the server's clock. @defaultValue systemClock */
  readonly clock?: Clock;
}

/** The defaults of `redisCacheStore`. */
export const REDIS_CACHE_STORE_DEFAULTS: {
  readonly prefix: string;
  readonly deadlineMs: number;
  readonly clusterSlots: number;
} = { prefix: "holdfast:cache:", deadlineMs: 500, clusterSlots: 16 };

/** Most calls in one run of the script, so that no other client of the server waits long. */
const MAX_BATCH = 128;

const SCRIPT: RedisScript = /* @__PURE__ */ redisScript({
  name: "cache",
  lua: CACHE_LUA,
  keys: ["tags", "log", "one for each call about a key"],
});

/**
 * Keeps what caches share in Redis 6.2 or later, Valkey, or a Cluster of them. Everything there expires. Eviction by the
 * server does no harm, whatever it takes: what is needed to know that a value is good goes before or with it. What Redis
 * has acknowledged and then loses (a crash, a failover before a replica had it) is lost to the cache, an invalidation too:
 * a value that comes back that way lasts for its time to live.
 *
 * @throws InvalidOptionError when an option is out of range.
 *
 * @example
 * ```ts no-run: needs a Redis
 * import { Redis } from "ioredis";
 * import { createCache, sharedTier } from "@holdfast/cache";
 * import { redisCacheStore } from "@holdfast/cache/redis";
 * import { REDIS_CLIENT_OPTIONS } from "@holdfast/core/redis";
 *
 * const client = new Redis("redis://127.0.0.1:6379", REDIS_CLIENT_OPTIONS);
 * const store = redisCacheStore({ client, subscriber: client.duplicate() });
 * const prices = createCache({
 *   name: "prices",
 *   load: async (sku: string) => sku.length,
 *   share: sharedTier({ store, coherence: "2s" }),
 * });
 * ```
 */
export function redisCacheStore(options: RedisCacheStoreOptions): CacheStore {
  const owner = "redisCacheStore";
  const check = optionsOf(owner);
  const { prefix, deadlineMs, clusterSlots } = REDIS_CACHE_STORE_DEFAULTS;
  const { subscriber } = options;
  if (subscriber !== undefined && typeof subscriber.subscribe !== "function")
    check.refuse("subscriber", subscriber, "a connection such as client.duplicate()");
  const place = keyPrefix(owner, options.prefix, prefix);
  const runner = redisRunner({ ...options, deadline: options.deadline ?? deadlineMs });
  const slots = check.integer(
    "slots",
    options.slots,
    { min: 1, max: 256 },
    options.client.isCluster === true ? clusterSlots : 1,
  );
  return new RedisCacheStore(new RedisNews(options.client, subscriber), runner, place, slots);
}

class RedisCacheStore implements CacheStore {
  readonly traits: CacheStoreTraits = { shared: true, clock: "server" };

  constructor(
    private readonly news: RedisNews,
    private readonly runner: RedisRunner,
    private readonly prefix: string,
    private readonly slots: number,
  ) {}

  open(name: string): CacheRegion {
    const { news, runner, prefix, slots } = this;
    // Caches are spread over the nodes, and so are the parts of each.
    const parts = Array.from({ length: slots }, (_, slot) => {
      const text = `${slot}:${name}`;
      return new Part(`${prefix}${hashTagOf(text, ALL_SLOTS)}${text}`, runner);
    });
    return new RedisRegion(parts, news);
  }

  async close(): Promise<void> {
    this.runner.close();
  }
}

const ALL_SLOTS = 16_384;

interface Call {
  readonly verb: string;
  /** Of the key that it is about. */
  readonly id: string | undefined;
  readonly words: readonly (string | number)[];
  readonly resolve: (reply: unknown) => void;
  readonly reject: (error: unknown) => void;
}

/** What of a cache is in one slot. */
class Part {
  readonly #batch: TickBatch<Call>;

  constructor(
    /** Its hash tag is in it. */
    private readonly place: string,
    private readonly runner: RedisRunner,
  ) {
    this.#batch = tickBatch((calls) => void this.#send(calls), MAX_BATCH);
  }

  get channel(): string {
    return `${this.place}:tags`;
  }

  run(verb: string, id: string | undefined, ...words: readonly (string | number)[]): Promise<unknown> {
    return new Promise((resolve, reject) => this.#batch.add({ verb, id, words, resolve, reject }));
  }

  /** Never rejects: each call is told. */
  async #send(calls: readonly Call[]): Promise<void> {
    const keys = [this.channel, `${this.place}:log`];
    const words: (string | number)[] = [calls.length];
    for (const { verb, id, words: own } of calls) {
      if (id !== undefined) keys.push(`${this.place}:key:${id}`);
      const all = id === undefined ? own : [id, ...own];
      words.push(verb, all.length, ...all);
    }
    try {
      const replies = (await this.runner.run(SCRIPT, keys, words)) as readonly unknown[];
      calls.forEach(({ resolve }, index) => resolve(replies[index]));
    } catch (error) {
      for (const { reject } of calls) reject(error);
    }
  }
}

class RedisRegion implements CacheRegion {
  constructor(
    private readonly parts: readonly Part[],
    private readonly news: RedisNews,
  ) {}

  async read({ id, have, lease, leaseMs, holder, instead, idleMs }: CacheRead): Promise<CacheReading> {
    const idle = idleMs === Infinity ? 0 : whole(idleMs);
    const reply = await this.#run("read", id, have, lease, whole(leaseMs), idle, holder, instead);
    return readingOf(reply as readonly (string | number)[]);
  }

  async fill(id: string, fence: number, value: SharedValue): Promise<boolean> {
    return (await this.#run("fill", id, fence, ...wordsOf(value))) === 1;
  }

  async set(id: string, value: SharedValue): Promise<number> {
    return Number(await this.#run("set", id, ...wordsOf(value)));
  }

  async beginWrite(id: string, leaseMs: number): Promise<number> {
    return Number(await this.#run("begin", id, whole(leaseMs)));
  }

  async endWrite(id: string, fence: number, value: SharedValue | undefined): Promise<boolean> {
    return (await this.#run("ended", id, fence, ...(value === undefined ? [] : wordsOf(value)))) === 1;
  }

  async renew(id: string, fence: number, leaseMs: number): Promise<boolean> {
    return (await this.#run("renew", id, fence, whole(leaseMs))) === 1;
  }

  async release(id: string, fence: number, pauseMs: number): Promise<void> {
    await this.#run("release", id, fence, whole(pauseMs));
  }

  async invalidate(id: string): Promise<void> {
    await this.#run("invalidate", id);
  }

  async invalidateTag(tag: string): Promise<void> {
    await this.#all("tag", storable(tag));
  }

  async clear(): Promise<void> {
    await this.#all("clear");
  }

  async changes(since: CacheCursor | undefined): Promise<CacheChanges> {
    const cursors = since === undefined ? [] : (JSON.parse(since) as readonly (readonly string[])[]);
    const replies = await Promise.all(
      this.parts.map(async (part, index) => {
        const [born = "0", last = "0"] = cursors[index] ?? [];
        return (await part.run("changes", undefined, born, last)) as ChangesReply;
      }),
    );
    const keys: [string, number][] = [];
    const tags = new Set<string>();
    for (const [, , , told] of replies)
      for (let at = 0; at < told.length; at += 2) {
        const name = told[at]!;
        const known = readable(name.slice(1));
        if (name.startsWith("t")) tags.add(known);
        else keys.push([known, Number(told[at + 1])]);
      }
    return {
      cursor: JSON.stringify(replies.map(([born, last]) => [born, last])),
      isReset: replies.some(([, , isReset]) => isReset === 1),
      keys,
      tags: [...tags],
    };
  }

  watch(watcher: RegionWatcher): () => void {
    return this.news.watch(
      this.parts.map(({ channel }) => channel),
      watcher,
    );
  }

  #run(verb: string, id: string, ...words: readonly (string | number)[]): Promise<unknown> {
    const { parts } = this;
    const part = parts.length === 1 ? parts[0]! : parts[partOf(id, parts.length)]!;
    return part.run(verb, storable(id), ...words);
  }

  async #all(verb: string, ...words: readonly string[]): Promise<void> {
    await Promise.all(this.parts.map((part) => part.run(verb, undefined, ...words)));
  }
}

type ChangesReply = readonly [born: string, last: string, isReset: number, told: readonly string[]];

function partOf(id: string, count: number): number {
  return Number(hashTagOf(id, count).slice(1, -1));
}

/** Durations are given in whole milliseconds; any other is made longer. */
const whole = Math.ceil;

/** JSON writes any text so that it is the same text when it is read, lone surrogates too. */
const storable = (text: string): string => JSON.stringify(text);
const readable = (stored: string): string => JSON.parse(stored) as string;

function wordsOf({ freshMs, lastMs, loadMs, tags, payload }: SharedValue): readonly (string | number)[] {
  const times = [whole(freshMs), whole(lastMs), whole(loadMs), JSON.stringify(tags.map(storable))];
  return payload === undefined ? times : [...times, payload];
}

function readingOf(reply: readonly (string | number)[]): CacheReading {
  const [kind, fence, forMs, version, isSame, freshForMs, freshMs, loadMs, tags, payload] = reply;
  const lease = leaseOf(String(kind), Number(fence), Number(forMs));
  if (version === undefined) return { lease, entry: undefined };
  const entry: SharedEntry = {
    version: Number(version),
    isSame: isSame === 1,
    payload: payload === undefined ? undefined : String(payload),
    tags: tags === undefined ? [] : (JSON.parse(String(tags)) as string[]).map(readable),
    freshForMs: Number(freshForMs),
    freshMs: Number(freshMs),
    loadMs: Number(loadMs),
  };
  return { lease, entry };
}

function leaseOf(kind: string, fence: number, forMs: number): CacheLease {
  switch (kind) {
    case "granted":
      return { kind, fence };
    case "writing":
      return { kind, forMs };
    case "own":
    case "held":
      return { kind: "held", fence, forMs, isOwn: kind === "own" };
    default:
      return { kind: "none" };
  }
}
