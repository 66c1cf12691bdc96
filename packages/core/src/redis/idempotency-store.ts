// Idempotency keys in Redis: one script run per verb, decided by the server's clock.
import type {
  BeginOutcome,
  BeginRequest,
  IdempotencyStore,
  IdempotencyStoreTraits,
  KeyLease,
  KeyRef,
  RecoveryPoint,
  StoreCallOptions,
  WriteOutcome,
} from "../idempotency/store.ts";
import { fromStoredText, toStoredText } from "../stores/stored-text.ts";
import type { Clock } from "../time/clock.ts";
import type { Duration } from "../time/duration.ts";
import type { RedisClient } from "./client.ts";
import IDEMPOTENCY_LUA from "./idempotency.lua";
import { hashTagOf, keyPrefix } from "./key-slot.ts";
import type { RedisRunner, RedisScript } from "./redis-script.ts";
import { redisRunner, redisScript } from "./redis-script.ts";

export interface RedisIdempotencyStoreOptions {
  /** `Redis` or `Cluster` of ioredis, best made with `REDIS_CLIENT_OPTIONS`. Stays open: it is its owner's. */
  readonly client: RedisClient;
  /** Before the name of every key; 1 to 100 characters without braces. @defaultValue "holdfast:idempotency:" */
  readonly prefix?: string;
  /** How long one call may take, from 1 ms. @defaultValue "2s" */
  readonly deadline?: Duration;
  /** For the deadline only: keys go by the server's clock. @defaultValue systemClock */
  readonly clock?: Clock;
}

/** The defaults of `redisIdempotencyStore`. */
export const REDIS_IDEMPOTENCY_DEFAULTS: { readonly prefix: string; readonly deadlineMs: number } = {
  prefix: "holdfast:idempotency:",
  deadlineMs: 2_000,
};

/** Keys are spread over so many slots of a Cluster; each has its own counter of fences. Never changes. */
const TAGS = 256;

const SCRIPT: RedisScript = /* @__PURE__ */ redisScript({
  name: "idempotency",
  lua: IDEMPOTENCY_LUA,
  keys: ["record", "fence"],
});

/**
 * Keeps idempotency keys in Redis 6.2 or later, alone or as a Cluster. Keys that are over expire there by
 * themselves. What Redis has acknowledged and then loses (a crash within `appendfsync everysec`, a failover before
 * a replica had it, an eviction) is forgotten: the server needs `maxmemory-policy noeviction`.
 *
 * @throws InvalidOptionError when an option is out of range.
 *
 * @example
 * ```ts no-run: needs a Redis
 * import { Redis } from "ioredis";
 * import { idempotency } from "@holdfast/core";
 * import { REDIS_CLIENT_OPTIONS, redisIdempotencyStore } from "@holdfast/core/redis";
 *
 * const client = new Redis("redis://127.0.0.1:6379", REDIS_CLIENT_OPTIONS);
 * const payments = idempotency({ store: redisIdempotencyStore({ client }), scope: "payments" });
 * ```
 */
export function redisIdempotencyStore(options: RedisIdempotencyStoreOptions): IdempotencyStore {
  const prefix = keyPrefix("redisIdempotencyStore", options.prefix, REDIS_IDEMPOTENCY_DEFAULTS.prefix);
  return new RedisIdempotencyStore(redisRunner(options), prefix);
}

class RedisIdempotencyStore implements IdempotencyStore {
  readonly traits: IdempotencyStoreTraits = {
    shared: true,
    clock: "server",
    durability: "server",
    transactional: false,
  };

  constructor(
    private readonly runner: RedisRunner,
    private readonly prefix: string,
  ) {}

  async begin(request: BeginRequest, options?: StoreCallOptions): Promise<BeginOutcome> {
    const { fingerprint, owner, lockTtlMs, ttlMs, takeDoubtful } = request;
    const texts = [toStoredText(fingerprint), toStoredText(owner)];
    const reply = await this.#run(
      request,
      options,
      "begin",
      ...texts,
      whole(lockTtlMs),
      whole(ttlMs),
      flag(takeDoubtful),
    );
    return beginOutcomeOf(reply as readonly string[]);
  }

  renew(lease: KeyLease, lockTtlMs: number, options?: StoreCallOptions): Promise<WriteOutcome> {
    return this.#write(lease, options, "renew", lease.fence, whole(lockTtlMs));
  }

  checkpoint(
    lease: KeyLease,
    { name, data }: RecoveryPoint,
    lockTtlMs: number,
    options?: StoreCallOptions,
  ): Promise<WriteOutcome> {
    const texts = [toStoredText(name), toStoredText(data)];
    return this.#write(lease, options, "checkpoint", lease.fence, whole(lockTtlMs), ...texts);
  }

  complete(
    lease: KeyLease,
    result: string,
    ttlMs: number,
    options?: StoreCallOptions,
  ): Promise<WriteOutcome> {
    return this.#write(lease, options, "complete", lease.fence, whole(ttlMs), toStoredText(result));
  }

  fail(lease: KeyLease, retryable: boolean, options?: StoreCallOptions): Promise<WriteOutcome> {
    return this.#write(lease, options, "fail", lease.fence, flag(retryable));
  }

  async release(ref: KeyRef, owner: string, options?: StoreCallOptions): Promise<void> {
    await this.#run(ref, options, "release", toStoredText(owner));
  }

  async close(): Promise<void> {
    this.runner.close();
  }

  async #write(
    lease: KeyLease,
    options: StoreCallOptions | undefined,
    ...words: readonly (string | number)[]
  ): Promise<WriteOutcome> {
    return (await this.#run(lease, options, ...words)) as WriteOutcome;
  }

  #run(
    { scope, key }: KeyRef,
    options: StoreCallOptions | undefined,
    ...words: readonly (string | number)[]
  ): Promise<unknown> {
    // The length makes the joint unambiguous: no scope can pass for another scope and the start of a key.
    const id = toStoredText(`${scope.length}:${scope}${key}`);
    const place = this.prefix + hashTagOf(id, TAGS);
    return this.runner.run(SCRIPT, [`${place}:key:${id}`, `${place}:fence`], words, options?.signal);
  }
}

/** Durations are given in whole milliseconds; any other is made longer. */
const whole = Math.ceil;

function flag(value: boolean): string {
  return value ? "1" : "0";
}

function beginOutcomeOf([kind = "", first = "", ...rest]: readonly string[]): BeginOutcome {
  switch (kind) {
    case "acquired": {
      const [doubt, name, data] = rest;
      const point =
        name === undefined || data === undefined
          ? {}
          : { point: { name: fromStoredText(name), data: fromStoredText(data) } };
      return { kind, fence: Number(first), doubt: doubt === "1", ...point };
    }
    case "inFlight":
      return { kind, retryAfterMs: Number(first) };
    case "replay":
      return { kind, result: fromStoredText(first) };
    case "inDoubt":
      return { kind, fence: Number(first) };
    default:
      return { kind: "mismatch" };
  }
}
