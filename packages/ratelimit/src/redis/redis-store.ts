// Counts in Redis: what many callers ask in one tick is decided by one run of one script.
import type { Clock, Duration } from "@holdfast/core";
import type { RedisClient, RedisRunner, RedisScript, TickBatch } from "@holdfast/core/redis";
import { hashTagOf, keyPrefix, redisRunner, redisScript, tickBatch } from "@holdfast/core/redis";
import type { Decision, Standing } from "../decision.ts";
import { ceilMs, decided, decidedAlone } from "../decision.ts";
import type { Limit } from "../limits/limit.ts";
import type { Ledger, LedgerCall, Loan, RateLimitStore, RateLimitStoreTraits, TakeMode } from "../store.ts";
import { costFor, keyFor } from "../store.ts";
import type { Verb } from "./script-call.ts";
import { ANSWERS_PER_LIMIT, ScriptCall } from "./script-call.ts";
import RATELIMIT_LUA from "./ratelimit.lua";

export interface RedisRateLimitStoreOptions {
  /** `Redis` or `Cluster` of ioredis, best made with `REDIS_CLIENT_OPTIONS`. Stays open: it is its owner's. */
  readonly client: RedisClient;
  /** Before the name of every key; 1 to 100 characters without braces. @defaultValue "holdfast:ratelimit:" */
  readonly prefix?: string;
  /** How long one call may take, from 1 ms. @defaultValue "500ms" */
  readonly deadline?: Duration;
  /** For the deadline only: counts go by the server's clock. @defaultValue systemClock */
  readonly clock?: Clock;
}

/** The defaults of `redisRateLimitStore`. */
export const REDIS_RATE_LIMIT_DEFAULTS: { readonly prefix: string; readonly deadlineMs: number } = {
  prefix: "holdfast:ratelimit:",
  deadlineMs: 500,
};

/** Keys are spread over so many slots of a Cluster. Never changes. */
const TAGS = 64;

/** Most calls in one run of the script, so that no other client of the server waits long. */
const MAX_BATCH = 128;

const SCRIPT: RedisScript = /* @__PURE__ */ redisScript({
  name: "ratelimit",
  lua: RATELIMIT_LUA,
  keys: ["one for each limit of each call"],
});

/**
 * Keeps counts in Redis 6.2 or later, Valkey, or a Cluster of them, exactly: any number of processes together stay within
 * the limits. Every key has a time to live, after which nothing of it counts any more.
 *
 * In a Cluster, all keys of a subject are in one slot; those of a limiter that counts `by` several things are all in one,
 * since they are decided together. What Redis has acknowledged and then loses (a crash, a failover before a replica had
 * it) is allowed again.
 *
 * @throws InvalidOptionError when an option is out of range.
 *
 * @example
 * ```ts no-run: needs a Redis
 * import { Redis } from "ioredis";
 * import { REDIS_CLIENT_OPTIONS } from "@holdfast/core/redis";
 * import { rateLimiter, tokenBucket } from "@holdfast/ratelimit";
 * import { redisRateLimitStore } from "@holdfast/ratelimit/redis";
 *
 * const client = new Redis("redis://127.0.0.1:6379", REDIS_CLIENT_OPTIONS);
 * const limiter = rateLimiter({
 *   name: "api",
 *   limits: tokenBucket({ capacity: 100, refill: 10, per: "1s" }),
 *   store: redisRateLimitStore({ client }),
 *   onStoreError: "open",
 * });
 * const { allowed } = await limiter.take("user:42");
 * ```
 */
export function redisRateLimitStore(options: RedisRateLimitStoreOptions): RateLimitStore {
  const { prefix, deadlineMs } = REDIS_RATE_LIMIT_DEFAULTS;
  const checkedPrefix = keyPrefix("redisRateLimitStore", options.prefix, prefix);
  const runner = redisRunner({ ...options, deadline: options.deadline ?? deadlineMs });
  return new RedisRateLimitStore(runner, checkedPrefix, options.client.isCluster === true);
}

class RedisRateLimitStore implements RateLimitStore {
  readonly traits: RateLimitStoreTraits = { shared: true, clock: "server" };
  readonly #batch: TickBatch<ScriptCall>;

  constructor(
    private readonly runner: RedisRunner,
    private readonly prefix: string,
    isCluster: boolean,
  ) {
    this.#batch = tickBatch((calls) => {
      // A script may only touch keys of one slot; without a Cluster there is but one.
      if (!isCluster) void this.#send(calls);
      else for (const group of byTag(calls).values()) void this.#send(group);
    }, MAX_BATCH);
  }

  open(name: string, limits: readonly Limit[]): Ledger {
    const isJoint = new Set(limits.map(({ by }) => by)).size > 1;
    const jointTag = isJoint ? hashTagOf(name, TAGS) : undefined;
    return new RedisLedger(this.prefix, name, jointTag, this.#batch);
  }

  async close(): Promise<void> {
    this.runner.close();
  }

  /** Never rejects: each call is told. */
  async #send(calls: readonly ScriptCall[]): Promise<void> {
    const wanted = calls.filter((call) => !call.isOver);
    if (wanted.length === 0) return;
    const keys = wanted.flatMap((call) => call.keys);
    try {
      const answers = (await this.runner.run(SCRIPT, keys, [ScriptCall.encode(wanted)])) as readonly number[];
      let at = 0;
      for (const call of wanted) {
        call.resolve(answers, at);
        at += call.answerLength;
      }
    } catch (error) {
      for (const call of wanted) call.reject(error);
    }
  }
}

class RedisLedger implements Ledger {
  constructor(
    private readonly prefix: string,
    private readonly name: string,
    private readonly jointTag: string | undefined,
    private readonly batch: TickBatch<ScriptCall>,
  ) {}

  take(call: LedgerCall, mode: TakeMode, signal?: AbortSignal): Promise<Decision> {
    return this.#run(call, mode, [], signal, (answers, at) => decisionOf(call.limits, answers, at, mode), {
      // Whoever left does not want what was taken for him.
      late: (decision) => {
        if (decision.allowed && mode === "take") void this.refund(call, decision.marks).catch(() => {});
      },
    });
  }

  borrow(call: LedgerCall, signal?: AbortSignal): Promise<Loan> {
    return this.#run(
      call,
      "borrow",
      [],
      signal,
      (answers, at) => {
        const granted = answers[at + call.limits.length * ANSWERS_PER_LIMIT]!;
        const decision = decisionOf(call.limits, answers, at, granted > 0 ? "spend" : "take");
        return { granted, decision };
      },
      {
        late: ({ granted, decision }) => {
          if (decision.allowed) void this.refund({ ...call, cost: granted }, decision.marks).catch(() => {});
        },
      },
    );
  }

  async refund(call: LedgerCall, marks: readonly number[], signal?: AbortSignal): Promise<void> {
    await this.#run(call, "refund", marks, signal, () => undefined);
  }

  renew(call: LedgerCall, marks: readonly number[], signal?: AbortSignal): Promise<boolean> {
    return this.#run(call, "renew", marks, signal, (answers, at) => answers[at] === 1);
  }

  async block(call: LedgerCall, forMs: number, signal?: AbortSignal): Promise<void> {
    await this.#run({ ...call, cost: Math.ceil(forMs * 1_000) }, "block", [], signal, () => undefined);
  }

  async reset(call: LedgerCall, signal?: AbortSignal): Promise<void> {
    await this.#run(call, "reset", [], signal, () => undefined);
  }

  #run<T>(
    { subject, cost, limits }: LedgerCall,
    verb: Verb,
    marks: readonly number[],
    signal: AbortSignal | undefined,
    read: (answers: readonly number[], at: number) => T,
    { late }: { readonly late?: (value: T) => void } = {},
  ): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (signal?.aborted === true) {
        reject(signal.reason as Error);
        return;
      }
      const keys = limits.map((limit) => this.#key(limit, keyFor(subject, limit)));
      const costs = limits.map((limit) => (verb === "block" ? (cost as number) : costFor(cost, limit)));
      this.batch.add(
        ScriptCall.of({ verb, limits, keys, costs, marks, read, late, signal, resolve, reject }),
      );
    });
  }

  /** The kind is part of it: a limit of another algorithm counts anew, and never reads another's state. */
  #key({ name, by, rule }: Limit, key: string): string {
    const tag = this.jointTag ?? hashTagOf(key, TAGS);
    return `${this.prefix}${tag}${this.name}:${name}:${rule.kind}:${by}:${key}`;
  }
}

function decisionOf(
  limits: readonly Limit[],
  answers: readonly number[],
  from: number,
  mode: TakeMode,
): Decision {
  if (limits.length === 1) {
    const wait = answers[from]!;
    const allowed = wait === 0 || mode === "spend";
    const [remaining, growsIn, restsIn, mark] = answers.slice(from + 1, from + ANSWERS_PER_LIMIT);
    return decidedAlone(allowed, limits[0]!, remaining!, allowed ? 0 : wait, growsIn!, restsIn!, mark!);
  }
  const standings: Standing[] = [];
  const marks: number[] = [];
  let allowed = true;
  limits.forEach((limit, index) => {
    const at = from + index * ANSWERS_PER_LIMIT;
    const [wait, remaining, growsIn, restsIn, mark] = answers.slice(at, at + ANSWERS_PER_LIMIT);
    if (wait! > 0) allowed = false;
    standings.push({
      limit,
      remaining: remaining!,
      retryAfterMs: ceilMs(wait!),
      growsInMs: ceilMs(growsIn!),
      resetMs: ceilMs(restsIn!),
    });
    marks.push(mark!);
  });
  return decided(allowed || mode === "spend", standings, mode === "peek" ? [] : marks);
}

/** By hash tag: what stands in the first pair of braces. */
function byTag(calls: readonly ScriptCall[]): ReadonlyMap<string, readonly ScriptCall[]> {
  const groups = new Map<string, ScriptCall[]>();
  for (const call of calls) {
    const key = call.keys[0]!;
    const tag = key.slice(0, key.indexOf("}"));
    const group = groups.get(tag);
    if (group === undefined) groups.set(tag, [call]);
    else group.push(call);
  }
  return groups;
}
