// Where a registry is kept: rows of text, changed by commands of which each is atomic.
import type { ModelState, RegistryCallOptions } from "./contract.ts";

/** One version of a model. */
export interface ModelRow {
  readonly key: string;
  /** The entry as canonical JSON: equal texts are equal entries. */
  readonly content: string;
  readonly state: ModelState;
  readonly revision: number;
  /** JSON and revision by type of device. */
  readonly profiles: Readonly<Record<string, ProfileRow>>;
}

export interface ProfileRow {
  readonly text: string;
  readonly revision: number;
}

export interface AliasRow {
  readonly alias: string;
  /** The key of what it means, and of what it meant before. */
  readonly target: string;
  readonly previous: string | undefined;
  readonly revision: number;
}

/** A change. Those with `ifRevision` are refused as `stale` when it is not the row's; a row that is not there has 0. */
export type StoreCommand =
  | { readonly type: "register"; readonly key: string; readonly content: string; readonly most: number }
  | { readonly type: "state"; readonly key: string; readonly state: ModelState }
  | { readonly type: "remove"; readonly key: string }
  | {
      readonly type: "move";
      readonly alias: string;
      readonly target: string;
      readonly ifRevision: number | undefined;
      readonly most: number;
    }
  | { readonly type: "drop"; readonly alias: string; readonly ifRevision: number | undefined }
  | {
      readonly type: "profile";
      readonly key: string;
      readonly deviceType: string;
      readonly text: string;
      readonly ifRevision: number | undefined;
      readonly most: number;
    };

/**
 * - `done`: it is changed; `same`: it was so already, and nothing has a new revision.
 * - `unknown`: there is no such row.
 * - `conflict`: a model of that key has other content. `taken`: the key is an alias, or the alias a key.
 * - `in-use`: aliases mean it. `unavailable`: what the alias is to mean is not available.
 * - `stale`: somebody was quicker. `full`: there are as many as may be.
 */
export type StoreVerdict =
  "done" | "same" | "unknown" | "conflict" | "taken" | "in-use" | "unavailable" | "stale" | "full";

export interface StoreAnswer {
  readonly verdict: StoreVerdict;
  /** The model that the command speaks of, or that an alias is to mean, as it is now. */
  readonly model?: ModelRow | undefined;
  /** The alias as it is now. */
  readonly alias?: AliasRow | undefined;
  /** Those that mean the model, when it is `in-use`. */
  readonly usedBy?: readonly string[] | undefined;
}

export interface StoreChanges {
  readonly revision: number;
  readonly isReset: boolean;
  readonly models: readonly ModelRow[];
  readonly aliases: readonly AliasRow[];
  readonly removedModels: readonly string[];
  readonly removedAliases: readonly string[];
}

export interface PageRequest {
  readonly name: string | undefined;
  /** Only keys behind it. */
  readonly after: string;
  readonly limit: number;
}

export interface ModelStoreTraits {
  /** Whether other processes see it. */
  readonly shared: boolean;
  /** What outlives what: nothing the process, the disk the machine's restart, the server what it is set up for. */
  readonly durability: "none" | "disk" | "server";
}

/**
 * What keeps the rows of a `modelRegistry`. `modelRegistryConformance` of `@holdfast/gpu-pool/testing` holds an
 * implementation against the contract.
 *
 * - Each command and each reading is atomic, and decides in the store.
 * - Revisions are integers that grow with every change, also after everything was lost: the time in microseconds, or one
 *   more than the last where that is greater.
 * - The last revisions are remembered, so that who asks for what came after one is told no more than that. Who names one
 *   that is not remembered, or never was, is told everything.
 */
export interface ModelStore {
  readonly traits: ModelStoreTraits;
  change(command: StoreCommand, options?: RegistryCallOptions): Promise<StoreAnswer>;
  /** By key or alias. */
  find(asked: string, options?: RegistryCallOptions): Promise<ModelRow | undefined>;
  findAlias(alias: string, options?: RegistryCallOptions): Promise<AliasRow | undefined>;
  /** In the order of keys. */
  page(request: PageRequest, options?: RegistryCallOptions): Promise<readonly ModelRow[]>;
  /** In the order of their names. */
  aliases(options?: RegistryCallOptions): Promise<readonly AliasRow[]>;
  /** All that there is where `undefined` is named. */
  changesAfter(revision: number | undefined, options?: RegistryCallOptions): Promise<StoreChanges>;
  /** Tells, until the returned function is called, that something may have changed: now and then also for nothing. */
  follow(nudge: () => void): () => void;
  /** Calls after this reject with a `ClosedError`. */
  close(): Promise<void>;
}
