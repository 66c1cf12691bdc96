// Lets a pool follow a registry: versions come and go, aliases move once what they are to mean has proved well.
import type { Clock, Timer } from "@holdfast/core";
import { asError, channel, ClosedError, hasCode, optionsOf, systemClock } from "@holdfast/core";
import { UnknownModelError } from "../errors.ts";
import type {
  ModelAlias,
  ModelRecord,
  ModelRegistry,
  RegistryCallOptions,
  RegistryChange,
} from "../registry/contract.ts";
import { unlessAborted } from "../unless-aborted.ts";
import type {
  FollowedAlias,
  FollowerSnapshot,
  FollowingPool,
  FollowRegistryOptions,
  RegistryFollower,
  RolloutEvent,
} from "./contract.ts";
import { isSameEntry, keyOf, modelOf } from "./followed-entry.ts";
import { FollowedModel } from "./followed-model.ts";
import { recordProfiles } from "./profile-recorder.ts";

const rolledOut = /* @__PURE__ */ channel<RolloutEvent>("gpu-pool", "rollout");

/** How long to wait before a watch that has failed is begun again, in milliseconds. */
const WATCH_AGAIN_MS = 1_000;

/**
 * Lets a pool have the models of a registry. What is available there may be asked for; an alias that is moved means the
 * new version as soon as that was checked, loaded and warmed up here, and until then the one before: its requests end where
 * they were begun. A version that nothing means any more is unloaded once nothing refers to it; one that is drained,
 * retired or removed is taken out of the pool, but not while an alias still has to mean it here.
 *
 * A version that is broken leaves its alias where it was here, and as it is in the registry: `snapshot()` and
 * `holdfast:gpu-pool:rollout` say so, and `rollBackAlias` or `rollBack: true` moves it back. Both versions have to fit
 * beside each other while one takes the other's place. When the registry cannot be asked, all goes on as it is.
 *
 * @throws InvalidOptionError when an option is out of range.
 *
 * @example
 * ```ts no-run: needs a worker module beside it
 * import { followRegistry, gpuPool, modelRegistry } from "@holdfast/gpu-pool";
 * import { checkModelFile, fileModelStore } from "@holdfast/gpu-pool/file";
 * import { workerThreads } from "@holdfast/gpu-pool/worker-threads";
 *
 * const registry = modelRegistry({ store: await fileModelStore({ path: "models.jsonl" }) });
 * const pool = gpuPool({ workers: workerThreads({ module: new URL("./models.js", import.meta.url), count: 4 }) });
 * const follower = followRegistry(pool, registry, { check: checkModelFile, rollBack: true });
 * await follower.ready();
 * await pool.run("llama@stable", { prompt: "Why?" });
 * ```
 */
export function followRegistry(
  pool: FollowingPool,
  registry: ModelRegistry,
  options: FollowRegistryOptions = {},
): RegistryFollower {
  const check = optionsOf("followRegistry");
  check.object("pool", pool);
  check.object("registry", registry);
  const { names } = options;
  if (names !== undefined && !Array.isArray(names)) check.refuse("names", names, "a list of names");
  return new Follower(pool, registry, {
    names: names && new Set(names),
    check: check.function("check", options.check),
    rollsBack: check.boolean("rollBack", options.rollBack, false),
    retryMs: check.duration("retry", options.retry, { min: 1 }, 60_000),
    prepareMs: check.duration("prepareTimeout", options.prepareTimeout, { min: 1 }, 120_000),
    recordEveryMs: check.duration("recordEvery", options.recordEvery, { min: 100 }, 60_000),
    clock: options.clock ?? systemClock,
  });
}

interface Settings {
  readonly names: ReadonlySet<string> | undefined;
  readonly check: FollowRegistryOptions["check"];
  readonly rollsBack: boolean;
  readonly retryMs: number;
  readonly prepareMs: number;
  readonly recordEveryMs: number;
  readonly clock: Clock;
}

interface Followed {
  alias: ModelAlias;
  /** Keys. */
  wanted: string;
  serving: string | undefined;
  status: FollowedAlias["status"];
  failure: string | undefined;
  retry: Timer | undefined;
}

class Follower implements RegistryFollower {
  readonly #poolName: string;
  readonly #clock: Clock;
  readonly #life = new AbortController();
  /** Over when nothing new will be heard. */
  readonly #end = new AbortController();
  /** Everything of the registry that is followed. */
  readonly #records = new Map<string, ModelRecord>();
  readonly #models = new Map<string, FollowedModel>();
  /** Those that the pool does not have, and why. */
  readonly #refused = new Map<string, Error>();
  /** On their way out of the pool. */
  readonly #leaving = new Set<string>();
  readonly #aliases = new Map<string, Followed>();
  #onSettled: (() => void)[] = [];
  #revision = 0;
  #isLost = false;
  #isKnown = false;
  #recording: Timer | undefined;
  #recorded: Promise<void> = Promise.resolve();
  readonly #following: Promise<void>;

  constructor(
    private readonly pool: FollowingPool,
    private readonly registry: ModelRegistry,
    private readonly settings: Settings,
  ) {
    this.#poolName = pool.snapshot().name;
    this.#clock = settings.clock;
    this.#following = this.#follow();
    this.#recordLater();
  }

  async ready({ signal }: RegistryCallOptions = {}): Promise<void> {
    const settled = async (): Promise<void> => {
      if (!this.#isSettled) await new Promise<void>((resolve) => this.#onSettled.push(resolve));
    };
    await unlessAborted(settled, this.#end.signal, signal);
  }

  snapshot(): FollowerSnapshot {
    return {
      kind: "registry-follower",
      pool: this.#poolName,
      revision: this.#revision,
      isLost: this.#isLost,
      aliases: [...this.#aliases].map(([alias, { wanted, serving, status, failure }]) => ({
        alias,
        wanted,
        ...(serving === undefined ? {} : { serving }),
        status,
        ...(failure === undefined ? {} : { failure }),
      })),
      refused: Object.fromEntries([...this.#refused].map(([key, { message }]) => [key, message])),
    };
  }

  async close(): Promise<void> {
    if (this.#life.signal.aborted) return;
    this.#recording?.cancel();
    this.#record({});
    this.#life.abort(new ClosedError("what follows a registry of models"));
    for (const { retry } of this.#aliases.values()) retry?.cancel();
    for (const model of this.#models.values()) model.letGo();
    await Promise.all([this.#following, this.#recorded]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  get #isSettled(): boolean {
    return this.#isKnown && [...this.#aliases.values()].every(({ status }) => status !== "preparing");
  }

  async #follow(): Promise<void> {
    const { signal } = this.#life;
    const onLost = (): void => void (this.#isLost = true);
    while (!signal.aborted) {
      try {
        const after = this.#isKnown ? this.#revision : undefined;
        for await (const change of this.registry.watch({ signal, after, onLost })) {
          this.#isLost = false;
          this.#take(change);
        }
      } catch (error) {
        this.#isLost = true;
        if (hasCode(error, "CLOSED")) break;
        await this.#clock.sleep(WATCH_AGAIN_MS, signal).catch(() => {});
      }
    }
    this.#end.abort(new ClosedError("what follows a registry of models"));
  }

  #take(change: RegistryChange): void {
    if (change.isReset) {
      this.#records.clear();
      const kept = new Set(change.aliases.map(({ alias }) => alias));
      for (const alias of this.#aliases.keys()) if (!kept.has(alias)) this.#dropAlias(alias);
    }
    for (const key of change.removedModels) this.#records.delete(key);
    for (const record of change.models)
      if (this.settings.names?.has(record.entry.name) !== false) this.#records.set(record.key, record);
    for (const alias of change.removedAliases) this.#dropAlias(alias);
    for (const alias of change.aliases) this.#moveAlias(alias);
    this.#revision = change.revision;
    this.#isKnown = true;
    this.#sort();
    for (const [name, followed] of this.#aliases)
      if (followed.wanted !== followed.serving && followed.status === "serving")
        this.#rollOut(name, followed);
    this.#tellSettled();
  }

  #moveAlias(alias: ModelAlias): void {
    const wanted = keyOf(alias.alias, alias.version);
    if (!this.#records.has(wanted)) return;
    const known = this.#aliases.get(alias.alias);
    known?.retry?.cancel();
    const isSame = known?.wanted === wanted;
    const status = isSame ? known.status : "serving";
    const failure = isSame ? known.failure : undefined;
    const serving = known?.serving;
    this.#aliases.set(alias.alias, { alias, wanted, serving, status, failure, retry: undefined });
    if (isSame && status === "broken") this.#tryAgainLater(alias.alias);
    // One that is being prepared goes on for who wants it now.
    if (isSame && status === "preparing") this.#rollOut(alias.alias, this.#aliases.get(alias.alias)!);
  }

  #dropAlias(name: string): void {
    const known = this.#aliases.get(name);
    known?.retry?.cancel();
    if (this.#aliases.delete(name)) this.#tellPool(() => this.pool.setAlias(name, undefined));
  }

  /** Sees to it that the pool has what it is to have, and no more. */
  #sort(): void {
    const used = new Set<string>();
    for (const { wanted, serving } of this.#aliases.values()) {
      used.add(wanted);
      if (serving !== undefined) used.add(serving);
    }
    for (const [key, record] of this.#records) {
      const model = this.#models.get(key);
      if (model !== undefined) model.record = isSameEntry(model.record, record) ? record : model.record;
      else if (record.state === "available" && !this.#leaving.has(key)) this.#add(record);
    }
    for (const [key, model] of this.#models) {
      if (used.has(key)) continue;
      const record = this.#records.get(key);
      if (record?.state === "available" && isSameEntry(model.record, record)) this.#putAside(model);
      else void this.#remove(model);
    }
  }

  #add(record: ModelRecord): void {
    try {
      this.pool.addModel(modelOf(record));
      this.#refused.delete(record.key);
      const { pool } = this;
      const { check, prepareMs, retryMs } = this.settings;
      const parts = { pool, clock: this.#clock, check, prepareMs, retryMs };
      this.#models.set(record.key, new FollowedModel(record, parts));
    } catch (error) {
      this.#refused.set(record.key, asError(error));
    }
  }

  /** Nothing means it: it may be asked for by its key, and takes memory only when it is. */
  #putAside(model: FollowedModel): void {
    if (!model.isInUse) return;
    model.letGo();
    this.pool.unloadModel(model.key).catch(() => {});
  }

  async #remove(model: FollowedModel): Promise<void> {
    const { key } = model;
    model.letGo();
    this.#models.delete(key);
    this.#leaving.add(key);
    await this.pool.removeModel(key).catch(() => {});
    this.#leaving.delete(key);
    // It may have come back meanwhile.
    if (!this.#life.signal.aborted) this.#sort();
  }

  #rollOut(name: string, followed: Followed): void {
    followed.status = "preparing";
    followed.failure = undefined;
    this.#tell(name, followed, "preparing");
    if (!this.#models.has(followed.wanted)) this.#sort();
    // Where nothing is served there is nothing to lose: who asks waits for it to be loaded.
    if (followed.serving === undefined && this.#models.has(followed.wanted)) this.#serve(name, followed);
    void this.#prove(name, followed);
  }

  async #prove(name: string, followed: Followed): Promise<void> {
    const model = this.#models.get(followed.wanted);
    try {
      if (model === undefined)
        throw this.#refused.get(followed.wanted) ?? new UnknownModelError(followed.wanted);
      await model.prepare();
      // It may have been moved on meanwhile.
      if (this.#aliases.get(name) !== followed || this.#life.signal.aborted) return;
      this.#serve(name, followed);
      followed.status = "serving";
      this.#tell(name, followed, "serving");
      this.#sort();
    } catch (error) {
      if (this.#aliases.get(name) !== followed || this.#life.signal.aborted) return;
      followed.status = "broken";
      followed.failure = asError(error).message.slice(0, 500);
      this.#tell(name, followed, "broken");
      this.#tryAgainLater(name);
      if (this.settings.rollsBack) await this.#rollBack(name, followed);
    }
    this.#tellSettled();
  }

  #serve(name: string, followed: Followed): void {
    this.#tellPool(() => this.pool.setAlias(name, followed.wanted));
    followed.serving = followed.wanted;
    this.#models.get(followed.wanted)?.hold();
  }

  #tryAgainLater(name: string): void {
    const followed = this.#aliases.get(name)!;
    followed.retry = this.#clock.setTimer(this.settings.retryMs, () => this.#rollOut(name, followed));
  }

  /** Unless somebody moves it first. */
  async #rollBack(name: string, { alias }: Followed): Promise<void> {
    if (alias.previous === undefined) return;
    const options = { ifRevision: alias.revision, signal: this.#life.signal };
    try {
      const { moved } = await this.registry.moveAlias(name, alias.previous, options);
      const followed = this.#aliases.get(name);
      if (moved && followed !== undefined) this.#tell(name, followed, "rolled-back");
    } catch {
      // What it meant before is gone, or the registry is: it stays as it is, for all to see.
    }
  }

  #recordLater(): void {
    this.#recording = this.#clock.setTimer(this.settings.recordEveryMs, () => {
      this.#record({ signal: this.#life.signal });
      this.#recordLater();
    });
  }

  #record(options: RegistryCallOptions): void {
    // One that fails is made up for by the next.
    this.#recorded = this.#recorded
      .then(() => recordProfiles(this.pool, this.registry, this.#records, options))
      .catch(() => {});
  }

  /** A pool that is closed has nobody to tell. */
  #tellPool(tell: () => void): void {
    try {
      tell();
    } catch {
      // What an alias is to mean has left the pool: it is told again when it is back.
    }
  }

  #tellSettled(): void {
    if (this.#isSettled) for (const settle of this.#onSettled.splice(0)) settle();
  }

  #tell(alias: string, followed: Followed, change: RolloutEvent["change"]): void {
    if (!rolledOut.hasSubscribers) return;
    const { wanted: model, serving, failure } = followed;
    rolledOut.publish({
      pool: this.#poolName,
      alias,
      model,
      change,
      ...(serving === undefined ? {} : { serving }),
      ...(failure === undefined ? {} : { failure }),
    });
  }
}
