// The contract of registries of models: which versions there are, what each needs, and which of them aliases mean.
import type { Duration } from "@holdfast/core";
import type { ModelOptions } from "../model.ts";

/** A value that JSON can hold. */
export type JsonValue =
  string | number | boolean | null | readonly JsonValue[] | { readonly [key: string]: JsonValue };

/** One version of a model, as it is registered: it never changes. At most 16 KiB as JSON. */
export interface ModelEntry extends ModelOptions {
  /** Written as the name. Two versions are two models. */
  readonly version: string;
  /** Whether a device is to have it loaded while an alias means it, before the first request. @defaultValue false */
  readonly preload?: boolean;
  /** A request that it has to answer before an alias sends others to it. */
  readonly warmUp?: {
    readonly input: JsonValue;
    /** What it has to answer, as JSON. @defaultValue anything */
    readonly output?: JsonValue;
    /** Loading included. @defaultValue "2m" */
    readonly timeout?: Duration;
  };
  /** Where its weights are, and what they are. */
  readonly source?: {
    /** At most 2,048 characters, such as a URL. */
    readonly location: string;
    /** Of its bytes, as 64 hexadecimal digits: who loads it can tell that it is the same. */
    readonly sha256?: string;
  };
  /** Anything else: at most 32 texts of 1,000 characters. */
  readonly metadata?: Readonly<Record<string, string>>;
}

/**
 * - `available`: aliases may mean it.
 * - `draining`: it is on its way out; pools end what they have of it, and take nothing more.
 * - `retired`: it is kept for the record.
 *
 * What an alias means is available, always.
 */
export type ModelState = "available" | "draining" | "retired";

/** How long batches of a model take on a type of device, as it was measured. Times in milliseconds. */
export interface MeasuredProfile {
  /** α: grows with every item. */
  readonly perItemMs: number;
  /** β: the same for every batch. */
  readonly fixedMs: number;
  /** p99 of measured ÷ fitted. From 1. */
  readonly margin: number;
  /** Largest batch that was measured. Integer from 1. */
  readonly maxBatch: number;
  /** Batches that it rests on. Integer from 1. */
  readonly batches: number;
  /** How long it took to load. */
  readonly loadMs?: number;
}

/** A profile as the registry has it. */
export interface RecordedProfile extends MeasuredProfile {
  /** Of when it was recorded: the next writer names it. */
  readonly revision: number;
}

/** One version of a model, as it is in the registry. */
export interface ModelRecord {
  /** `name@version`. */
  readonly key: string;
  /** Durations in milliseconds. */
  readonly entry: ModelEntry;
  readonly state: ModelState;
  /** By type of device; at most 32. */
  readonly profiles: Readonly<Record<string, RecordedProfile>>;
  /** Of its last change. */
  readonly revision: number;
}

/** A name for a version that may be moved to another, such as `llama@stable`. */
export interface ModelAlias {
  /** `name@label`. */
  readonly alias: string;
  /** What it means. */
  readonly version: string;
  /** What it meant before: where it is rolled back to. */
  readonly previous?: string;
  /** Of its last move: the next who moves it names it. */
  readonly revision: number;
}

/** What has changed between two revisions, all of it at once. */
export interface RegistryChange {
  /** What it leads to. A watch that is begun with it misses nothing. */
  readonly revision: number;
  /** It holds all that there is: whatever else was known is gone. The first of a watch is, unless it resumes. */
  readonly isReset: boolean;
  /** Those that are new or have changed, as they are at this revision. */
  readonly models: readonly ModelRecord[];
  readonly aliases: readonly ModelAlias[];
  /** Keys. */
  readonly removedModels: readonly string[];
  readonly removedAliases: readonly string[];
}

export interface RegistryCallOptions {
  /** Gives the call up. What it has sent may still take effect. */
  readonly signal?: AbortSignal | undefined;
}

export interface GuardedCallOptions extends RegistryCallOptions {
  /** The revision that it has to have, 0 for none: if somebody was quicker, nothing is changed. */
  readonly ifRevision?: number | undefined;
}

export interface ListOptions extends RegistryCallOptions {
  /** Of one name only. */
  readonly name?: string;
  /** The `next` of the page before. */
  readonly after?: string | undefined;
  /** Integer from 1 to 1_000. @defaultValue 100 */
  readonly limit?: number;
}

export interface WatchOptions extends RegistryCallOptions {
  /** Resumes after this revision. When the registry does not know it (any more), the first change is a reset. */
  readonly after?: number | undefined;
  /** Told when the store cannot be asked, once for each time that it is lost; the watch goes on. */
  readonly onLost?: (error: Error) => void;
}

/**
 * Versions of models and their aliases, in memory, in a file or on a server. A version is immutable but for its state and
 * what was measured of it; aliases are moved atomically. Every change has a revision, greater than all before it. All
 * methods reject with a `StoreUnavailableError` when the store cannot be asked, with the signal's reason, and with a
 * `ClosedError` after `close`.
 */
export interface ModelRegistry extends AsyncDisposable {
  /**
   * Adds a version. The same once more changes nothing.
   *
   * @throws ModelConflictError when there is another of its name and version; AliasTakenError when that is an alias;
   * RegistryFullError; InvalidOptionError.
   */
  register(entry: ModelEntry, options?: RegistryCallOptions): Promise<RegisteredModel>;
  /** By `name@version` or by alias. */
  get(model: string, options?: RegistryCallOptions): Promise<ModelRecord | undefined>;
  /** By key, in the order of characters. */
  list(options?: ListOptions): Promise<ModelPage>;
  /** All of them, in the order of characters. */
  aliases(options?: RegistryCallOptions): Promise<readonly ModelAlias[]>;
  alias(alias: string, options?: RegistryCallOptions): Promise<ModelAlias | undefined>;
  /**
   * Makes an alias mean a version of its model from now on.
   *
   * @throws UnknownModelError; ModelNotAvailableError when that is draining or retired; AliasTakenError when the alias is
   * a version; RegistryFullError.
   */
  moveAlias(alias: string, version: string, options?: GuardedCallOptions): Promise<AliasMove>;
  removeAlias(alias: string, options?: GuardedCallOptions): Promise<AliasRemoval>;
  /** @throws UnknownModelError; ModelInUseError when an alias means it: that is moved first. */
  setState(key: string, state: ModelState, options?: RegistryCallOptions): Promise<ModelRecord>;
  /** Whether it was there. @throws ModelInUseError when an alias means it. */
  remove(key: string, options?: RegistryCallOptions): Promise<boolean>;
  /** Keeps what was measured on a type of device. @throws UnknownModelError; RegistryFullError at 32 types. */
  recordProfile(
    key: string,
    deviceType: string,
    profile: MeasuredProfile,
    options?: GuardedCallOptions,
  ): Promise<ProfileRecording>;
  /**
   * What changes, from now on. Of several changes to one model only the last may be told. It goes on while the store
   * cannot be asked, and ends with the signal's reason or a `ClosedError`.
   */
  watch(options?: WatchOptions): AsyncIterableIterator<RegistryChange>;
  /** Ends all watches and the store. A client that was handed in stays open. */
  close(): Promise<void>;
}

export interface RegisteredModel {
  readonly record: ModelRecord;
  /** `false`: it was there already, the same. */
  readonly isNew: boolean;
}

export interface ModelPage {
  readonly models: readonly ModelRecord[];
  /** Absent on the last page. */
  readonly next?: string;
}

/** `moved: false`: somebody was quicker, and this is what the alias means now. */
export type AliasMove =
  | { readonly moved: true; readonly alias: ModelAlias }
  | { readonly moved: false; readonly alias: ModelAlias | undefined };

/** `removed: false`: there is none, or somebody was quicker. */
export type AliasRemoval =
  { readonly removed: true } | { readonly removed: false; readonly alias: ModelAlias | undefined };

/** `recorded: false`: somebody was quicker, and this is what is recorded now. */
export type ProfileRecording =
  | { readonly recorded: true; readonly profile: RecordedProfile }
  | { readonly recorded: false; readonly profile: RecordedProfile | undefined };
