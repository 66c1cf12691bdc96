// Shared circuits in Redis: one script run per verb, decided by the server's clock, and one small question at intervals.
import type { Duration } from "@holdfast/core";
import { ClosedError, optionsOf, systemClock } from "@holdfast/core";
import type { RedisRunner, RedisRunnerOptions, RedisScript } from "@holdfast/core/redis";
import { hashTagOf, keyPrefix, redisRunner, redisScript } from "@holdfast/core/redis";
import type {
  CircuitStore,
  CircuitStoreCallOptions,
  CircuitStoreTraits,
  CircuitVote,
  CircuitWatcher,
  FleetCircuit,
  FleetOpenTime,
  ProbeAnswer,
  ProbeEnd,
  ProbeEndAnswer,
  ProbeRequest,
} from "../shared/store.ts";
import type { FeedPage } from "./feed.ts";
import { Feed } from "./feed.ts";
import CIRCUIT_LUA from "./circuit.lua";

export interface RedisCircuitStoreOptions extends RedisRunnerOptions {
  /** Before the name of every key; 1 to 100 characters without braces. @defaultValue "holdfast:breaker:" */
  readonly prefix?: string;
  /**
   * How often the server is asked what has changed: one round trip for all breakers of this store, while there are any.
   * From 10 ms. @defaultValue "1s"
   */
  readonly poll?: Duration;
  /** How long a circuit is remembered beyond its open time and its last lease. From 1 ms. @defaultValue "1h" */
  readonly keep?: Duration;
}

/** The defaults of `redisCircuitStore`. */
export const REDIS_CIRCUIT_STORE_DEFAULTS: {
  readonly prefix: string;
  readonly pollMs: number;
  readonly keepMs: number;
} = { prefix: "holdfast:breaker:", pollMs: 1_000, keepMs: 3_600_000 };

/** Changes in one answer, at most. */
const PAGE = 500;

/** Slots that prefixes are spread over. All circuits of a prefix are in one, so that one question tells of all. */
const TAGS = 16_384;

const SCRIPT: RedisScript = /* @__PURE__ */ redisScript({
  name: "circuit",
  lua: CIRCUIT_LUA,
  keys: ["feed", "records", "votes", "leases"],
});

/**
 * Shares circuits through Redis 6.2 or later, alone or as a Cluster. A closed circuit costs nothing but the poll; a trip,
 * a probe and its end cost one round trip each. What changes elsewhere is heard of within `poll`. Everything there
 * expires; at most 10,000 circuits of a prefix are remembered. What Redis loses (a failover, an eviction) is forgotten:
 * the breakers go on by themselves.
 *
 * @throws InvalidOptionError when an option is out of range.
 *
 * @example
 * ```ts no-run: needs a Redis
 * import { Redis } from "ioredis";
 * import { circuitBreaker } from "@holdfast/breaker";
 * import { redisCircuitStore } from "@holdfast/breaker/redis";
 * import { REDIS_CLIENT_OPTIONS } from "@holdfast/core/redis";
 *
 * const client = new Redis("redis://127.0.0.1:6379", REDIS_CLIENT_OPTIONS);
 * const mail = circuitBreaker({ name: "mail", share: { store: redisCircuitStore({ client }), quorum: 2 } });
 * ```
 */
export function redisCircuitStore(options: RedisCircuitStoreOptions): CircuitStore {
  const owner = "redisCircuitStore";
  const check = optionsOf(owner);
  const { prefix, pollMs, keepMs } = REDIS_CIRCUIT_STORE_DEFAULTS;
  const place = keyPrefix(owner, options.prefix, prefix);
  return new RedisCircuitStore(
    options,
    place + hashTagOf(place, TAGS),
    check.duration("poll", options.poll, { min: 10 }, pollMs),
    check.duration("keep", options.keep, { min: 1 }, keepMs),
  );
}

class RedisCircuitStore implements CircuitStore {
  readonly traits: CircuitStoreTraits = { shared: true, clock: "server" };
  readonly #runner: RedisRunner;
  readonly #feed: Feed;
  #isClosed = false;

  constructor(
    options: RedisRunnerOptions,
    private readonly place: string,
    pollMs: number,
    private readonly keepMs: number,
  ) {
    this.#runner = redisRunner(options);
    this.#feed = new Feed((after) => this.#pageAfter(after), pollMs, options.clock ?? systemClock);
  }

  async read(key: string, options?: CircuitStoreCallOptions): Promise<FleetCircuit> {
    return circuitOf(await this.#run(key, options, "read"));
  }

  async vote(vote: CircuitVote, options?: CircuitStoreCallOptions): Promise<FleetCircuit> {
    const { key, voter, generation, quorum, windowMs, openTime } = vote;
    const words = [storable(voter), generation, quorum, whole(windowMs), ...openTimeWords(openTime)];
    return circuitOf(await this.#run(key, options, "vote", ...words));
  }

  async leaseProbe(request: ProbeRequest, options?: CircuitStoreCallOptions): Promise<ProbeAnswer> {
    const { key, generation, token, probes, leaseMs } = request;
    const words = [storable(token), generation, probes, whole(leaseMs)];
    const [granted, retryAfterMs, circuit] = await this.#run(key, options, "lease", ...words);
    return {
      granted: granted === 1,
      retryAfterMs: Number(retryAfterMs),
      circuit: circuitOf(circuit as Words),
    };
  }

  async probeEnded(end: ProbeEnd, options?: CircuitStoreCallOptions): Promise<ProbeEndAnswer> {
    const { key, generation, token, verdict, probes, openTime } = end;
    const words = [storable(token), generation, verdict, probes, ...openTimeWords(openTime)];
    const [accepted, circuit] = await this.#run(key, options, "ended", ...words);
    return { accepted: accepted === 1, circuit: circuitOf(circuit as Words) };
  }

  watch(watcher: CircuitWatcher): () => void {
    if (this.#isClosed) throw new ClosedError("a store of circuits in redis");
    return this.#feed.watch(watcher);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#feed.close();
    this.#runner.close();
  }

  async #pageAfter(generation: number): Promise<FeedPage> {
    const keys = [`${this.place}:feed`, `${this.place}:records`];
    const reply = await this.#runner.run(SCRIPT, keys, ["changes", this.keepMs, generation, PAGE]);
    const changes = reply as readonly (readonly [score: string, circuit: Words])[];
    const last = changes.at(-1)?.[0] ?? generation;
    const circuits = changes.map(([, circuit]) => circuitOf(circuit));
    return { circuits, generation: Number(last), isFull: changes.length === PAGE };
  }

  async #run(
    key: string,
    options: CircuitStoreCallOptions | undefined,
    verb: string,
    ...words: readonly (string | number)[]
  ): Promise<Words> {
    const id = storable(key);
    const { place, keepMs } = this;
    const keys = [`${place}:feed`, `${place}:records`, `${place}:votes:${id}`, `${place}:leases:${id}`];
    return (await this.#runner.run(SCRIPT, keys, [verb, keepMs, id, ...words], options?.signal)) as Words;
  }
}

/** What the script answers with. */
type Words = readonly unknown[];

/** JSON writes any text so that it is the same text when it is read, lone surrogates too. */
const storable = (text: string): string => JSON.stringify(text);

/** Durations are given in whole milliseconds; any other is made longer. */
const whole = Math.ceil;

function openTimeWords({ initialMs, maxMs, factor, stretch, atLeastMs }: FleetOpenTime): readonly number[] {
  return [whole(initialMs), whole(maxMs), factor, stretch, whole(atLeastMs)];
}

function circuitOf(words: Words): FleetCircuit {
  const [id, generation, open, openForMs, opens, votes, probing, probed] = words;
  return {
    key: JSON.parse(String(id)) as string,
    generation: Number(generation),
    state: open === 1 ? "open" : "closed",
    openForMs: Number(openForMs),
    opens: Number(opens),
    votes: Number(votes),
    probing: Number(probing),
    probed: Number(probed),
  };
}
