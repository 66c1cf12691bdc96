// Lua scripts as functions: sent by digest, with a deadline, and never while the client is not connected.
import { createHash } from "node:crypto";
import { ClosedError, StoreUnavailableError } from "../errors/errors.ts";
import { optionsOf } from "../options.ts";
import type { StoreCallProgress } from "../stores/store-call.ts";
import { callStore } from "../stores/store-call.ts";
import type { Clock } from "../time/clock.ts";
import type { Duration } from "../time/duration.ts";
import { systemClock } from "../time/system-clock.ts";
import type { RedisClient } from "./client.ts";
import { isUnknownScript, redisFailure } from "./redis-failure.ts";

/** A script, made once and run on any client. */
export interface RedisScript {
  readonly name: string;
  readonly lua: string;
  /** Names of its keys, in the order of `KEYS`. */
  readonly keys: readonly string[];
  readonly sha1: string;
}

export interface RedisScriptOptions {
  /** For messages. 1 to 255 characters. */
  readonly name: string;
  readonly lua: string;
  /** Names of its keys, in the order of `KEYS`. All of one call must be in one slot of a Cluster. */
  readonly keys: readonly string[];
}

export interface RedisRunnerOptions {
  /** Stays open: it is its owner's. */
  readonly client: RedisClient;
  /** How long one call may take, from 1 ms. @defaultValue "2s" */
  readonly deadline?: Duration;
  /**
   * How many replicas must have what a script wrote before its answer counts, from 0: then no failover to one of them
   * loses it. They have half of the deadline; a call that has waited for them in vain was made, and may yet get lost.
   * Not with a Cluster client, which could not ask the right node. @defaultValue 0
   */
  readonly replicas?: number;
  /** @defaultValue systemClock */
  readonly clock?: Clock;
}

/** Runs scripts on one client. */
export interface RedisRunner {
  /**
   * Runs the script. A server that does not know it (after a restart, SCRIPT FLUSH, a failover) is sent its text.
   *
   * @throws StoreUnavailableError when Redis could not be asked or did not answer in time; the error of the client
   * itself when the script is wrong.
   */
  run(
    script: RedisScript,
    keys: readonly string[],
    parameters: readonly (string | number)[],
    signal?: AbortSignal,
  ): Promise<unknown>;
  /** Calls after this are refused. */
  close(): void;
}

/** How long one call to Redis may take, in milliseconds, unless told otherwise. */
export const REDIS_DEADLINE_MS = 2_000;

/**
 * A Lua script. Cluster finds the node by the keys, so a script may touch no key that is not named here.
 *
 * @throws InvalidOptionError when the name or the text is empty.
 *
 * @example
 * ```ts
 * import { redisScript } from "@holdfast/core/redis";
 *
 * const add = redisScript({ name: "add", keys: ["counter"], lua: "return redis.call('INCRBY', KEYS[1], ARGV[1])" });
 * add.sha1.length; // => 40
 * ```
 */
export function redisScript(options: RedisScriptOptions): RedisScript {
  const check = optionsOf("redisScript");
  const lua = check.string("lua", options.lua, 2 ** 20);
  return {
    name: check.string("name", options.name),
    lua,
    keys: [...options.keys],
    sha1: createHash("sha1").update(lua).digest("hex"),
  };
}

/**
 * Runs scripts on `client`. While the client is reconnecting calls fail at once; nothing is queued to be sent
 * later. A client that connects for the first time is waited for, within the deadline.
 *
 * @throws InvalidOptionError when an option is out of range.
 *
 * @example
 * ```ts no-run: needs a Redis
 * import { Redis } from "ioredis";
 * import { REDIS_CLIENT_OPTIONS, redisRunner, redisScript } from "@holdfast/core/redis";
 *
 * const add = redisScript({ name: "add", keys: ["counter"], lua: "return redis.call('INCRBY', KEYS[1], ARGV[1])" });
 * const redis = redisRunner({ client: new Redis(REDIS_CLIENT_OPTIONS), deadline: "500ms" });
 * const sum = await redis.run(add, ["visits"], [2]);
 * ```
 */
export function redisRunner(options: RedisRunnerOptions): RedisRunner {
  const check = optionsOf("redisRunner");
  const client = check.object("client", options.client);
  if (typeof client.evalsha !== "function") check.refuse("client", client, "a Redis client such as ioredis");
  const replicas = check.integer("replicas", options.replicas, { min: 0 }, 0);
  if (replicas > 0 && (client.isCluster === true || client.wait === undefined))
    check.refuse("replicas", replicas, "0 with this client: it cannot ask who has what was written");
  return new Runner(
    client,
    check.duration("deadline", options.deadline, { min: 1 }, REDIS_DEADLINE_MS),
    replicas,
    options.clock ?? systemClock,
  );
}

class Runner implements RedisRunner {
  #ready: Promise<void> | undefined;
  #closed = false;

  constructor(
    private readonly client: RedisClient,
    private readonly deadlineMs: number,
    private readonly replicas: number,
    private readonly clock: Clock,
  ) {}

  async run(
    script: RedisScript,
    keys: readonly string[],
    parameters: readonly (string | number)[],
    signal?: AbortSignal,
  ): Promise<unknown> {
    if (this.#closed) throw new ClosedError("a client of redis");
    const call = { store: "redis", deadlineMs: this.deadlineMs, clock: this.clock, signal };
    const words = [...keys];
    for (const parameter of parameters) words.push(String(parameter));
    return callStore(call, async (progress) => {
      const { status } = this.client;
      if (status !== undefined && status !== "ready") await this.#untilReady(status);
      return await this.#send(script, keys.length, words, progress);
    });
  }

  close(): void {
    this.#closed = true;
  }

  async #send(
    script: RedisScript,
    keyCount: number,
    words: readonly string[],
    progress: StoreCallProgress,
  ): Promise<unknown> {
    if (progress.over) return undefined;
    progress.sent = true;
    try {
      return await this.#kept(this.client.evalsha(script.sha1, keyCount, ...words));
    } catch (error) {
      if (!isUnknownScript(error)) throw redisFailure(error);
    }
    // It was not run; and whoever has been told of a timeout meanwhile does not want it to be.
    if (progress.over) return undefined;
    try {
      return await this.#kept(this.client.eval(script.lua, keyCount, ...words));
    } catch (error) {
      throw redisFailure(error);
    }
  }

  /** The answer, once as many replicas as wanted have what was written. */
  #kept(answer: Promise<unknown>): Promise<unknown> {
    return this.replicas === 0 ? answer : this.#replicated(answer);
  }

  async #replicated(answer: Promise<unknown>): Promise<unknown> {
    const answered = await answer;
    // Of what this connection has written: so in the turn of the answer, in which it cannot have become another one. Not
    // together with the script: behind one that is refused it would hold up the next.
    const have = await this.client.wait!(this.replicas, Math.ceil(this.deadlineMs / 2)).catch(unheardOf);
    if (have >= this.replicas) return answered;
    const message = `${have} of ${this.replicas} replicas have what was written: a failover could lose it`;
    throw new StoreUnavailableError("redis", message, { reason: "no_replicas", outcome: "unknown" });
  }

  // All who wait share one pair of listeners on the client.
  #untilReady(status: string): Promise<void> {
    const starting = status === "wait" || status === "connecting" || status === "connect";
    if (!starting || this.client.on === undefined) return Promise.reject(notConnected(status));
    this.#ready ??= readyOrClosed(this.client).finally(() => {
      this.#ready = undefined;
    });
    return this.#ready;
  }
}

/** Whatever kept us from hearing who has what a script wrote (a server that was made a replica, say): it was run. */
function unheardOf(error: unknown): never {
  const failure = redisFailure(error);
  const reason = failure instanceof StoreUnavailableError ? failure.reason : "no_replicas";
  const message = error instanceof Error ? error.message : String(error);
  throw new StoreUnavailableError("redis", message, { reason, outcome: "unknown", cause: error });
}

function readyOrClosed(client: RedisClient): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = (outcome: () => void) => () => {
      client.off?.("ready", onReady);
      client.off?.("close", onClose);
      client.off?.("end", onClose);
      outcome();
    };
    const onReady = settle(resolve);
    const onClose = settle(() => reject(notConnected("close")));
    client.on?.("ready", onReady);
    client.on?.("close", onClose);
    client.on?.("end", onClose);
    if (client.status === "wait") client.connect?.().catch(() => {});
  });
}

function notConnected(status: string): StoreUnavailableError {
  const message = `the client is not connected (${status})`;
  return new StoreUnavailableError("redis", message, { reason: "connection", outcome: "none" });
}
