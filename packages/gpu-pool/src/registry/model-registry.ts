// A registry of models over a store: checks what is asked, and says what the store's verdicts mean.
import type { Clock } from "@holdfast/core";
import { channel, ClosedError, optionsOf, systemClock } from "@holdfast/core";
import { UnknownModelError } from "../errors.ts";
import type {
  AliasMove,
  AliasRemoval,
  GuardedCallOptions,
  ListOptions,
  MeasuredProfile,
  ModelAlias,
  ModelEntry,
  ModelPage,
  ModelRecord,
  ModelRegistry,
  ModelState,
  ProfileRecording,
  RegisteredModel,
  RegistryCallOptions,
  RegistryChange,
  WatchOptions,
} from "./contract.ts";
import { aliasOf, checkDeviceType, checkedEntry, checkedProfile, profileOf, recordOf } from "./entry.ts";
import {
  AliasTakenError,
  ModelConflictError,
  ModelInUseError,
  ModelNotAvailableError,
  RegistryFullError,
} from "./errors.ts";
import { REGISTRY_LIMITS } from "./limits.ts";
import { memoryModelStore } from "./memory-store.ts";
import type { ModelStore, StoreAnswer, StoreCommand } from "./store.ts";
import { watchStore } from "./watch-store.ts";

export interface ModelRegistryOptions {
  /** Where it is kept; the registry closes it. @defaultValue `memoryModelStore()` */
  readonly store?: ModelStore;
  /** Most versions. Integer from 1 to 10_000. @defaultValue 1_000 */
  readonly maxModels?: number;
  /** Most aliases. Integer from 1 to 10_000. @defaultValue 1_000 */
  readonly maxAliases?: number;
  /** How long a watch waits before it asks a store again that it has lost. Of this registry's time. @defaultValue systemClock */
  readonly clock?: Clock;
}

/** Published as `holdfast:gpu-pool:registry` when this process has changed a registry. */
export interface RegistryEvent {
  readonly change: "registered" | "state" | "removed" | "alias-moved" | "alias-removed";
  /** The `name@version` or the alias. */
  readonly key: string;
  /** What the alias means now, or the state that the model has. */
  readonly now?: string;
  /** What the alias meant before. */
  readonly before?: string;
}

const registryChanged = /* @__PURE__ */ channel<RegistryEvent>("gpu-pool", "registry");

/**
 * Opens a registry of models.
 *
 * @throws InvalidOptionError when an option is out of range.
 *
 * @example
 * ```ts
 * import { modelRegistry } from "@holdfast/gpu-pool";
 *
 * const registry = modelRegistry();
 * await registry.register({ name: "llama", version: "1", memoryBytes: 16e9, maxBatch: 8 });
 * await registry.register({ name: "llama", version: "2", memoryBytes: 16e9, maxBatch: 8 });
 * await registry.moveAlias("llama@stable", "1");
 * const { moved } = await registry.moveAlias("llama@stable", "2");
 * moved; // => true
 * (await registry.get("llama@stable"))?.key; // => "llama@2"
 * await registry.close();
 * ```
 */
export function modelRegistry(options: ModelRegistryOptions = {}): ModelRegistry {
  const check = optionsOf("modelRegistry");
  const { models, aliases } = REGISTRY_LIMITS;
  const most = { min: 1, max: 10_000 };
  return new Registry(
    options.store === undefined ? memoryModelStore() : check.object("store", options.store),
    check.integer("maxModels", options.maxModels, most, models),
    check.integer("maxAliases", options.maxAliases, most, aliases),
    options.clock ?? systemClock,
  );
}

class Registry implements ModelRegistry {
  readonly #life = new AbortController();

  constructor(
    private readonly store: ModelStore,
    private readonly maxModels: number,
    private readonly maxAliases: number,
    private readonly clock: Clock,
  ) {}

  async register(entry: ModelEntry, options?: RegistryCallOptions): Promise<RegisteredModel> {
    const { key, content } = checkedEntry(entry);
    const answer = await this.#change({ type: "register", key, content, most: this.maxModels }, options);
    const { verdict, model } = answer;
    if (verdict === "conflict") throw new ModelConflictError(key);
    if (verdict === "taken") throw new AliasTakenError(key);
    if (verdict === "full") throw new RegistryFullError("models", this.maxModels);
    const isNew = verdict === "done";
    if (isNew) tell({ change: "registered", key });
    return { record: recordOf(model!), isNew };
  }

  async get(model: string, options?: RegistryCallOptions): Promise<ModelRecord | undefined> {
    const row = await this.#open().find(nameOf("model", model), options);
    return row && recordOf(row);
  }

  async list(options: ListOptions = {}): Promise<ModelPage> {
    const check = optionsOf("list");
    const limit = check.integer("limit", options.limit, { min: 1, max: 1_000 }, 100);
    const { name, after } = options;
    const request = {
      name: name === undefined ? undefined : check.string("name", name, 100),
      after: after === undefined ? "" : check.string("after", after, 201),
      // One more tells whether there is another page.
      limit: limit + 1,
    };
    const rows = await this.#open().page(request, options);
    const models = rows.slice(0, limit).map(recordOf);
    return { models, ...(rows.length > limit ? { next: models.at(-1)!.key } : {}) };
  }

  async aliases(options?: RegistryCallOptions): Promise<readonly ModelAlias[]> {
    return (await this.#open().aliases(options)).map(aliasOf);
  }

  async alias(alias: string, options?: RegistryCallOptions): Promise<ModelAlias | undefined> {
    const row = await this.#open().findAlias(nameOf("alias", alias), options);
    return row && aliasOf(row);
  }

  async moveAlias(alias: string, version: string, options?: GuardedCallOptions): Promise<AliasMove> {
    const name = nameOf("alias", alias);
    const target = nameOf("version", `${name.slice(0, name.indexOf("@"))}@${version}`);
    const most = this.maxAliases;
    const command = { type: "move", alias: name, target, ifRevision: guardOf(options), most } as const;
    const { verdict, model, alias: row } = await this.#change(command, options);
    if (verdict === "unknown") throw new UnknownModelError(target);
    if (verdict === "unavailable") throw new ModelNotAvailableError(target, model!.state);
    if (verdict === "taken") throw new AliasTakenError(name);
    if (verdict === "full") throw new RegistryFullError("aliases", most);
    if (verdict === "stale") return { moved: false, alias: row && aliasOf(row) };
    const moved = aliasOf(row!);
    const { previous: before } = moved;
    if (verdict === "done")
      tell({ change: "alias-moved", key: name, now: version, ...(before === undefined ? {} : { before }) });
    return { moved: true, alias: moved };
  }

  async removeAlias(alias: string, options?: GuardedCallOptions): Promise<AliasRemoval> {
    const name = nameOf("alias", alias);
    const command = { type: "drop", alias: name, ifRevision: guardOf(options) } as const;
    const { verdict, alias: row } = await this.#change(command, options);
    if (verdict !== "done") return { removed: false, alias: row && aliasOf(row) };
    tell({ change: "alias-removed", key: name });
    return { removed: true };
  }

  async setState(key: string, state: ModelState, options?: RegistryCallOptions): Promise<ModelRecord> {
    optionsOf("setState").oneOf("state", state, ["available", "draining", "retired"]);
    const { verdict, model, usedBy } = await this.#change(
      { type: "state", key: nameOf("model", key), state },
      options,
    );
    if (verdict === "unknown") throw new UnknownModelError(key);
    if (verdict === "in-use") throw new ModelInUseError(key, usedBy!);
    if (verdict === "done") tell({ change: "state", key, now: state });
    return recordOf(model!);
  }

  async remove(key: string, options?: RegistryCallOptions): Promise<boolean> {
    const { verdict, usedBy } = await this.#change({ type: "remove", key: nameOf("model", key) }, options);
    if (verdict === "in-use") throw new ModelInUseError(key, usedBy!);
    if (verdict === "done") tell({ change: "removed", key });
    return verdict === "done";
  }

  async recordProfile(
    key: string,
    deviceType: string,
    profile: MeasuredProfile,
    options?: GuardedCallOptions,
  ): Promise<ProfileRecording> {
    const type = checkDeviceType(deviceType, optionsOf("recordProfile"));
    const text = checkedProfile(profile);
    const most = REGISTRY_LIMITS.deviceTypes;
    const guard = { ifRevision: guardOf(options), most };
    const command = { type: "profile", key: nameOf("model", key), deviceType: type, text, ...guard } as const;
    const { verdict, model } = await this.#change(command, options);
    if (verdict === "unknown") throw new UnknownModelError(key);
    if (verdict === "full") throw new RegistryFullError("device types", most);
    const row = model!.profiles[type];
    const known = row && profileOf(row);
    return verdict === "stale" ? { recorded: false, profile: known } : { recorded: true, profile: known! };
  }

  watch(options: WatchOptions = {}): AsyncIterableIterator<RegistryChange> {
    const { after } = options;
    if (after !== undefined) optionsOf("watch").integer("after", after, { min: 0 });
    return watchStore(this.#open(), options, this.#life.signal, this.clock);
  }

  async close(): Promise<void> {
    this.#life.abort(new ClosedError("a registry of models"));
    await this.store.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #change(command: StoreCommand, options: RegistryCallOptions | undefined): Promise<StoreAnswer> {
    return this.#open().change(command, options);
  }

  #open(): ModelStore {
    this.#life.signal.throwIfAborted();
    return this.store;
  }
}

/** A `name@version` or `name@label`. */
function nameOf(option: string, text: string): string {
  if (typeof text === "string" && /^[\w.-]{1,100}@[\w.-]{1,100}$/.test(text)) return text;
  const expected = "name@version, each of letters, digits, dots, hyphens and underscores, at most 100";
  return optionsOf("modelRegistry").refuse(option, text, expected);
}

function guardOf(options: GuardedCallOptions | undefined): number | undefined {
  const revision = options?.ifRevision;
  return revision === undefined
    ? undefined
    : optionsOf("modelRegistry").integer("ifRevision", revision, { min: 0 });
}

function tell(event: RegistryEvent): void {
  if (registryChanged.hasSubscribers) registryChanged.publish(event);
}
