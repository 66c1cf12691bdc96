// One clause on trial: a registry that is empty, and short words for what is asked of it.
import { hasCode, systemClock } from "@holdfast/core";
import { ConformanceError } from "@holdfast/core/testing";
import type {
  MeasuredProfile,
  ModelAlias,
  ModelEntry,
  ModelRecord,
  ModelRegistry,
  RegistryChange,
  WatchOptions,
} from "../registry/contract.ts";

/** What the suite is run on. */
export interface ModelRegistrySubject {
  /**
   * An empty registry for each test, with `maxModels: 5`, `maxAliases: 4` and a store with `history: 12`. The suite closes
   * it.
   */
  readonly make: () => ModelRegistry | Promise<ModelRegistry>;
  /** Another registry on the same rows as the one made last, where others can see them. The suite closes it. */
  readonly makeOther?: () => ModelRegistry | Promise<ModelRegistry>;
  /** How long news may take, in milliseconds. @defaultValue 5_000 */
  readonly patienceMs?: number;
}

/** A rule of the contract, and what shows that a store keeps it: it throws if not. */
export interface Clause {
  readonly title: string;
  readonly check: (trial: Trial) => Promise<void>;
  /** Needs another registry on the same rows. */
  readonly isShared?: boolean;
}

export const MAX_MODELS = 5;
export const MAX_ALIASES = 4;
export const HISTORY = 12;

export class Trial {
  readonly #others: ModelRegistry[] = [];
  readonly #watches: AbortController[] = [];

  constructor(
    readonly registry: ModelRegistry,
    readonly subject: ModelRegistrySubject,
  ) {}

  /** Registers versions of one model, "1" first. */
  async versions(count: number, name: string = "llama"): Promise<readonly ModelRecord[]> {
    const made: ModelRecord[] = [];
    for (let version = 1; version <= count; version += 1)
      made.push((await this.registry.register({ name, version: String(version) })).record);
    return made;
  }

  async move(alias: string, version: string): Promise<ModelAlias> {
    const answer = await this.registry.moveAlias(alias, version);
    if (!answer.moved) throw new ConformanceError(`${alias} was not moved to ${version}`);
    return answer.alias;
  }

  /** The key of what is meant. */
  async meant(alias: string): Promise<string | undefined> {
    return (await this.registry.get(alias))?.key;
  }

  async other(): Promise<ModelRegistry> {
    const other = await this.subject.makeOther!();
    this.#others.push(other);
    return other;
  }

  /** All keys, page by page. */
  async keys(limit: number, name?: string): Promise<readonly string[]> {
    const found: string[] = [];
    let after: string | undefined;
    do {
      const page = await this.registry.list({ limit, after, ...(name === undefined ? {} : { name }) });
      if (page.models.length > limit) throw new ConformanceError(`a page of more than ${limit}`);
      found.push(...page.models.map(({ key }) => key));
      after = page.next;
    } while (after !== undefined && found.length < 100);
    return found;
  }

  watch(options: WatchOptions = {}, registry: ModelRegistry = this.registry): Watched {
    const stop = new AbortController();
    this.#watches.push(stop);
    return new Watched(registry.watch({ signal: stop.signal, ...options }), stop, this.subject.patienceMs);
  }

  async end(): Promise<void> {
    for (const watch of this.#watches) watch.abort();
    await Promise.all([this.registry, ...this.#others].map((one) => one.close()));
  }
}

/** What one who watches knows. */
export class Watched {
  readonly models: Map<string, ModelRecord> = new Map();
  readonly aliases: Map<string, ModelAlias> = new Map();
  readonly told: RegistryChange[] = [];

  constructor(
    private readonly changes: AsyncIterator<RegistryChange>,
    readonly stop: AbortController,
    private readonly patienceMs: number = 5_000,
  ) {}

  /** Takes in the next change. */
  async next(): Promise<RegistryChange> {
    const result = await this.within(this.changes.next(), "nothing was told");
    if (result.done === true) throw new ConformanceError("the watch has ended");
    const { value: change } = result;
    this.told.push(change);
    if (change.isReset) {
      this.models.clear();
      this.aliases.clear();
    }
    for (const model of change.models) this.models.set(model.key, model);
    for (const alias of change.aliases) this.aliases.set(alias.alias, alias);
    for (const key of change.removedModels) this.models.delete(key);
    for (const alias of change.removedAliases) this.aliases.delete(alias);
    return change;
  }

  /** Takes in changes until one of this revision or a later one. */
  async until(revision: number): Promise<void> {
    while ((this.told.at(-1)?.revision ?? -1) < revision) await this.next();
  }

  /** How the watch ends when it is asked for more. */
  async ending(): Promise<unknown> {
    return this.within(
      this.changes.next().then(
        ({ done }) => new ConformanceError(done === true ? "it just ended" : "it went on"),
        (error: unknown) => error,
      ),
      "the watch does not end",
    );
  }

  async within<T>(work: Promise<T>, otherwise: string): Promise<T> {
    const stop = new AbortController();
    const late = systemClock.sleep(this.patienceMs, stop.signal, { keepAlive: true }).then(() => {
      throw new ConformanceError(otherwise);
    });
    late.catch(() => {});
    try {
      return await Promise.race([work, late]);
    } finally {
      stop.abort();
    }
  }
}

export const PROFILE: MeasuredProfile = {
  perItemMs: 1.082,
  fixedMs: 5.204,
  margin: 1.07,
  maxBatch: 16,
  batches: 120,
  loadMs: 831.4,
};

/** All that an entry may have. */
export const FULL_ENTRY: ModelEntry = {
  name: "flux.1-dev_x",
  version: "2026-11.rc_1",
  memoryBytes: 24_000_000_001,
  maxBatch: 16,
  maxDelay: 2,
  times: { perItemMs: 1.082, fixedMs: 0 },
  timesByType: { H100: { perItemMs: 0.5, fixedMs: 2 }, "": { perItemMs: 3, fixedMs: 1e-7 } },
  loadTime: "8s",
  loadTimeout: "2m",
  preload: true,
  warmUp: {
    input: { prompt: 'a "cat"\n\u2028 \u0000 é 猫 🐈', steps: [1, 2.5, null, true, []], "10": {}, "9": "" },
    output: ["ok"],
    timeout: "10s",
  },
  source: { location: "s3://models/flux?v=1&x={y}", sha256: "0f".repeat(32) },
  metadata: { license: "apache-2.0", "": "", note: "\ud83d lone" },
};

/** Asserts that it is rejected with a code. */
export async function rejects(work: Promise<unknown>, code: string, what: string): Promise<unknown> {
  try {
    await work;
  } catch (error) {
    if (hasCode(error, code)) return error;
    throw new ConformanceError(`${what} rejects with ${code}`, { cause: error });
  }
  throw new ConformanceError(`${what} rejects with ${code}, and not at all here`);
}
