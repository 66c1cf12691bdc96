// Entries of a registry: checked, and as text and back.
import type { OptionReader } from "@holdfast/core";
import { optionsOf } from "@holdfast/core";
import { defineModel } from "../model.ts";
import { canonicalJson } from "./canonical-json.ts";
import type {
  MeasuredProfile,
  ModelAlias,
  ModelEntry,
  ModelRecord,
  RecordedProfile,
  RegistryChange,
} from "./contract.ts";
import { REGISTRY_LIMITS } from "./limits.ts";
import type { AliasRow, ModelRow, ProfileRow, StoreChanges } from "./store.ts";

/** An entry that was checked, and its canonical text. */
export interface CheckedEntry {
  readonly key: string;
  readonly content: string;
}

/** @throws InvalidOptionError */
export function checkedEntry(entry: ModelEntry): CheckedEntry {
  const check = optionsOf("register");
  check.object("entry", entry);
  check.string("version", entry.version, 100);
  const { key, name, version, memoryBytes, maxBatch, maxDelayMs, times, timesByType, loadMs, loadTimeoutMs } =
    defineModel(entry);
  for (const type of Object.keys(timesByType ?? {})) checkDeviceType(type, check);
  const { warmUp, source, metadata } = entry;
  const content = canonicalJson(
    "entry",
    {
      name,
      version,
      memoryBytes,
      maxBatch,
      maxDelay: maxDelayMs,
      times,
      timesByType,
      loadTime: loadMs,
      loadTimeout: loadTimeoutMs,
      preload: check.boolean("preload", entry.preload, false),
      warmUp: warmUp && checkedWarmUp(warmUp, check),
      source: source && checkedSource(source, check),
      metadata: metadata && checkedMetadata(metadata, check),
    },
    check,
  );
  const bytes = new TextEncoder().encode(content).length;
  const { entryBytes } = REGISTRY_LIMITS;
  if (bytes > entryBytes) check.refuse("entry", `${bytes} bytes`, `at most ${entryBytes} bytes as JSON`);
  return { key, content };
}

/** @throws InvalidOptionError */
export function checkedProfile(profile: MeasuredProfile): string {
  const check = optionsOf("recordProfile");
  const { perItemMs, fixedMs, margin, maxBatch, batches, loadMs } = check.object("profile", profile);
  return canonicalJson(
    "profile",
    {
      perItemMs: check.number("perItemMs", perItemMs, { min: 0 }),
      fixedMs: check.number("fixedMs", fixedMs, { min: 0 }),
      margin: check.number("margin", margin, { min: 1 }),
      maxBatch: check.integer("maxBatch", maxBatch, { min: 1 }),
      batches: check.integer("batches", batches, { min: 1 }),
      loadMs: loadMs === undefined ? undefined : check.number("loadMs", loadMs, { min: 0 }),
    },
    check,
  );
}

/** Text that every store can have in a name: printable ASCII, at most 100 characters, or none. */
export function checkDeviceType(type: string, check: OptionReader): string {
  if (typeof type !== "string" || !/^[\x20-\x7e]{0,100}$/.test(type))
    check.refuse("deviceType", type, "printable ASCII, at most 100 characters");
  return type;
}

export function recordOf({ key, content, state, revision, profiles }: ModelRow): ModelRecord {
  return {
    key,
    entry: JSON.parse(content) as ModelEntry,
    state,
    profiles: Object.fromEntries(Object.entries(profiles).map(([type, row]) => [type, profileOf(row)])),
    revision,
  };
}

export function profileOf({ text, revision }: ProfileRow): RecordedProfile {
  return { ...(JSON.parse(text) as MeasuredProfile), revision };
}

export function aliasOf({ alias, target, previous, revision }: AliasRow): ModelAlias {
  return {
    alias,
    version: versionOf(target),
    ...(previous === undefined ? {} : { previous: versionOf(previous) }),
    revision,
  };
}

export function changeOf(changes: StoreChanges): RegistryChange {
  return { ...changes, models: changes.models.map(recordOf), aliases: changes.aliases.map(aliasOf) };
}

function versionOf(key: string): string {
  return key.slice(key.indexOf("@") + 1);
}

function checkedWarmUp(warmUp: NonNullable<ModelEntry["warmUp"]>, check: OptionReader): object {
  const { input, output, timeout } = check.object("warmUp", warmUp);
  if (input === undefined) check.refuse("warmUp: input", input, "what JSON can hold");
  return { input, output, timeout: check.duration("warmUp: timeout", timeout, { min: 1 }, 120_000) };
}

function checkedSource(source: NonNullable<ModelEntry["source"]>, check: OptionReader): object {
  const { location, sha256 } = check.object("source", source);
  if (sha256 !== undefined && !/^[\da-f]{64}$/.test(sha256))
    check.refuse("source: sha256", sha256, "64 lowercase hexadecimal digits");
  return { location: check.string("source: location", location, REGISTRY_LIMITS.location), sha256 };
}

function checkedMetadata(metadata: NonNullable<ModelEntry["metadata"]>, check: OptionReader): object {
  const entries = Object.entries(check.object("metadata", metadata));
  const most = REGISTRY_LIMITS.metadata;
  if (entries.length > most) check.refuse("metadata", entries.length, `at most ${most} texts`);
  for (const [name, text] of entries)
    if (name.length > 100 || typeof text !== "string" || text.length > REGISTRY_LIMITS.metadataText)
      check.refuse(`metadata: ${name}`, text, `a text of at most ${REGISTRY_LIMITS.metadataText} characters`);
  return metadata;
}
