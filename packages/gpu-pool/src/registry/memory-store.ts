// A registry's rows in memory: gone with the process.
import type { Clock } from "@holdfast/core";
import { ClosedError, optionsOf, systemClock } from "@holdfast/core";
import type { RegistryCallOptions } from "./contract.ts";
import { REGISTRY_LIMITS } from "./limits.ts";
import { Nudges } from "./nudges.ts";
import type {
  AliasRow,
  ModelRow,
  ModelStore,
  ModelStoreTraits,
  PageRequest,
  StoreAnswer,
  StoreChanges,
  StoreCommand,
} from "./store.ts";
import { RegistryTable } from "./table.ts";

export interface MemoryModelStoreOptions {
  /** Revisions that a watch can resume from. Integer from 1 to 10_000. @defaultValue 1_000 */
  readonly history?: number;
  /** @defaultValue systemClock */
  readonly clock?: Clock;
}

/**
 * Keeps a registry in this process.
 *
 * @throws InvalidOptionError when an option is out of range.
 */
export function memoryModelStore(options: MemoryModelStoreOptions = {}): ModelStore {
  const { history } = REGISTRY_LIMITS;
  const most = optionsOf("memoryModelStore").integer(
    "history",
    options.history,
    { min: 1, max: 10_000 },
    history,
  );
  return new MemoryModelStore(new RegistryTable(most), options.clock ?? systemClock);
}

class MemoryModelStore implements ModelStore {
  readonly traits: ModelStoreTraits = { shared: false, durability: "none" };
  readonly #nudges = new Nudges();
  #isClosed = false;

  constructor(
    private readonly table: RegistryTable,
    private readonly clock: Clock,
  ) {}

  async change(command: StoreCommand, options?: RegistryCallOptions): Promise<StoreAnswer> {
    this.#check(options);
    const answer = this.table.change(command, this.clock.now());
    if (answer.verdict === "done") this.#nudges.tell();
    return answer;
  }

  async find(asked: string, options?: RegistryCallOptions): Promise<ModelRow | undefined> {
    this.#check(options);
    return this.table.find(asked);
  }

  async findAlias(alias: string, options?: RegistryCallOptions): Promise<AliasRow | undefined> {
    this.#check(options);
    return this.table.findAlias(alias);
  }

  async page(request: PageRequest, options?: RegistryCallOptions): Promise<readonly ModelRow[]> {
    this.#check(options);
    return this.table.page(request);
  }

  async aliases(options?: RegistryCallOptions): Promise<readonly AliasRow[]> {
    this.#check(options);
    return this.table.aliases();
  }

  async changesAfter(revision: number | undefined, options?: RegistryCallOptions): Promise<StoreChanges> {
    this.#check(options);
    return this.table.changesAfter(revision);
  }

  follow(nudge: () => void): () => void {
    return this.#nudges.add(nudge);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#nudges.clear();
  }

  #check(options: RegistryCallOptions | undefined): void {
    if (this.#isClosed) throw new ClosedError("a registry of models");
    options?.signal?.throwIfAborted();
  }
}
