// A registry's rows in Redis: one script run per command, and one small question at intervals while somebody watches.
import type { Clock, Duration, Timer } from "@holdfast/core";
import { optionsOf, systemClock } from "@holdfast/core";
import type { RedisRunner, RedisRunnerOptions, RedisScript } from "@holdfast/core/redis";
import { hashTagOf, keyPrefix, redisRunner, redisScript } from "@holdfast/core/redis";
import type { RegistryCallOptions } from "../registry/contract.ts";
import { REGISTRY_LIMITS } from "../registry/limits.ts";
import { Nudges } from "../registry/nudges.ts";
import type {
  AliasRow,
  ModelRow,
  ModelStore,
  ModelStoreTraits,
  PageRequest,
  StoreAnswer,
  StoreChanges,
  StoreCommand,
  StoreVerdict,
} from "../registry/store.ts";
import REGISTRY_LUA from "./registry.lua";

export interface RedisModelStoreOptions extends RedisRunnerOptions {
  /** Before the name of every key; 1 to 100 characters without braces. @defaultValue "holdfast:models:" */
  readonly prefix?: string;
  /** How often those who watch ask what has changed: one round trip each. From 10 ms. @defaultValue "1s" */
  readonly poll?: Duration;
  /** Revisions that a watch can resume from. Integer from 1 to 10_000. @defaultValue 1_000 */
  readonly history?: number;
}

/** Slots that prefixes are spread over. All of a registry is in one. */
const TAGS = 16_384;

const SCRIPT: RedisScript = /* @__PURE__ */ redisScript({
  name: "models",
  lua: REGISTRY_LUA,
  keys: ["registry", "log"],
});

/**
 * Keeps a registry in Redis 6.2 or later, alone or as a Cluster. Every call is one round trip, and is decided there; a
 * change by anybody is heard of within `poll`. Its two keys never expire. When the server loses some of it (a restart
 * without all of its log, a failover, FLUSHALL), those who watch are told all that there is anew.
 *
 * @throws InvalidOptionError when an option is out of range.
 *
 * @example
 * ```ts no-run: needs a Redis
 * import { Redis } from "ioredis";
 * import { REDIS_CLIENT_OPTIONS } from "@holdfast/core/redis";
 * import { modelRegistry } from "@holdfast/gpu-pool";
 * import { redisModelStore } from "@holdfast/gpu-pool/redis";
 *
 * const client = new Redis("redis://127.0.0.1:6379", REDIS_CLIENT_OPTIONS);
 * const registry = modelRegistry({ store: redisModelStore({ client }) });
 * await registry.moveAlias("llama@stable", "2");
 * ```
 */
export function redisModelStore(options: RedisModelStoreOptions): ModelStore {
  const owner = "redisModelStore";
  const check = optionsOf(owner);
  const place = keyPrefix(owner, options.prefix, "holdfast:models:");
  const tagged = place + hashTagOf(place, TAGS);
  return new RedisModelStore(
    redisRunner(options),
    [`${tagged}:registry`, `${tagged}:log`],
    check.integer("history", options.history, { min: 1, max: 10_000 }, REGISTRY_LIMITS.history),
    check.duration("poll", options.poll, { min: 10 }, 1_000),
    options.clock ?? systemClock,
  );
}

class RedisModelStore implements ModelStore {
  readonly traits: ModelStoreTraits = { shared: true, durability: "server" };
  readonly #nudges = new Nudges();
  #timer: Timer | undefined;

  constructor(
    private readonly runner: RedisRunner,
    private readonly keys: readonly string[],
    private readonly history: number,
    private readonly pollMs: number,
    private readonly clock: Clock,
  ) {}

  async change(command: StoreCommand, options?: RegistryCallOptions): Promise<StoreAnswer> {
    const words = [command.type, this.history, ...wordsOf(command)];
    const [verdict, model, alias, usedBy] = (await this.#run(words, options)) as readonly [
      StoreVerdict,
      string,
      string,
      readonly string[],
    ];
    if (verdict === "done") this.#nudges.tell();
    return { verdict, model: optional(model, modelOf), alias: optional(alias, aliasOf), usedBy };
  }

  async find(asked: string, options?: RegistryCallOptions): Promise<ModelRow | undefined> {
    const [model] = (await this.#run(["find", asked], options)) as readonly string[];
    return optional(model!, modelOf);
  }

  async findAlias(alias: string, options?: RegistryCallOptions): Promise<AliasRow | undefined> {
    const [, found] = (await this.#run(["find", alias], options)) as readonly string[];
    return optional(found!, aliasOf);
  }

  async page(
    { after, limit, name }: PageRequest,
    options?: RegistryCallOptions,
  ): Promise<readonly ModelRow[]> {
    const rows = await this.#run(["page", after, limit, name ?? ""], options);
    return (rows as readonly string[]).map(modelOf);
  }

  async aliases(options?: RegistryCallOptions): Promise<readonly AliasRow[]> {
    return ((await this.#run(["aliases"], options)) as readonly string[]).map(aliasOf);
  }

  async changesAfter(after: number | undefined, options?: RegistryCallOptions): Promise<StoreChanges> {
    // Nothing has a revision below 0.
    const [revision, isReset, models, aliases, removed] = (await this.#run(
      ["changes", after ?? -1],
      options,
    )) as readonly [string, number, readonly string[], readonly string[], readonly string[]];
    const removedOf = (kind: "m:" | "a:"): readonly string[] =>
      removed.filter((name) => name.startsWith(kind)).map((name) => name.slice(kind.length));
    return {
      revision: Number(revision),
      isReset: isReset === 1,
      models: models.map(modelOf),
      aliases: aliases.map(aliasOf),
      removedModels: removedOf("m:"),
      removedAliases: removedOf("a:"),
    };
  }

  follow(nudge: () => void): () => void {
    const leave = this.#nudges.add(nudge);
    if (this.#timer === undefined) this.#poll();
    return () => {
      leave();
      if (this.#nudges.size === 0) this.#stop();
    };
  }

  async close(): Promise<void> {
    this.#nudges.clear();
    this.#stop();
    this.runner.close();
  }

  #run(words: readonly (string | number)[], options: RegistryCallOptions | undefined): Promise<unknown> {
    return this.runner.run(SCRIPT, this.keys, words, options?.signal);
  }

  #poll(): void {
    this.#timer = this.clock.setTimer(this.pollMs, () => {
      this.#poll();
      this.#nudges.tell();
    });
  }

  #stop(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }
}

/** What a command says, in the order in which the script takes it. */
function wordsOf(command: StoreCommand): readonly (string | number)[] {
  switch (command.type) {
    case "register":
      return [command.key, command.content, command.most];
    case "state":
      return [command.key, command.state];
    case "remove":
      return [command.key];
    case "move":
      return [command.alias, command.target, command.ifRevision ?? "", command.most];
    case "drop":
      return [command.alias, command.ifRevision ?? ""];
    case "profile":
      return [command.key, command.deviceType, command.text, command.ifRevision ?? "", command.most];
  }
}

function optional<T>(text: string, read: (text: string) => T): T | undefined {
  return text === "" ? undefined : read(text);
}

type Stored<Row> = Omit<Row, "revision"> & { readonly revision: string };

function modelOf(text: string): ModelRow {
  const { key, content, state, revision, profiles } = JSON.parse(text) as Stored<ModelRow>;
  const entries = Object.entries(profiles).map(
    ([type, profile]) => [type, { ...profile, revision: Number(profile.revision) }] as const,
  );
  return { key, content, state, revision: Number(revision), profiles: Object.fromEntries(entries) };
}

function aliasOf(text: string): AliasRow {
  const { alias, target, previous, revision } = JSON.parse(text) as Stored<AliasRow>;
  return { alias, target, previous, revision: Number(revision) };
}
