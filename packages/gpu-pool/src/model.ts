// A model: a name and a version, what it needs of a device, and the registry that finds it.
import type { Duration } from "@holdfast/core";
import { optionsOf } from "@holdfast/core";
import { GPU_POOL_DEFAULTS } from "./defaults.ts";
import type { BatchTimes } from "./scheduler/contract.ts";

export interface ModelOptions {
  /** Letters, digits, dots, hyphens and underscores; at most 100. */
  readonly name: string;
  /** Written as the name. @defaultValue "1" */
  readonly version?: string;
  /** Memory it takes on a device once it is loaded, in bytes. @defaultValue 0 */
  readonly memoryBytes?: number;
  /**
   * Most requests that run together, by their sizes. Above 1 the size of each batch, and how long it may fill, follow
   * from the deadlines of its requests and from times that are measured. Integer from 1 to 10_000. @defaultValue 1
   */
  readonly maxBatch?: number;
  /** The simple mode: a batch starts when it is full, or its oldest request has waited this long. */
  readonly maxDelay?: Duration;
  /** What is known of its batches beforehand. @defaultValue measured from the first one on */
  readonly times?: BatchTimes;
  /** Longest a device may take to load it; then the device has failed. @defaultValue "60s" */
  readonly loadTimeout?: Duration;
}

/** A model that may be run, typed by what goes in and what comes out. Made by {@link defineModel}. */
export interface Model<Input = unknown, Output = unknown> {
  /** `name@version`. */
  readonly key: string;
  readonly name: string;
  readonly version: string;
  readonly memoryBytes: number;
  readonly maxBatch: number;
  readonly maxDelayMs?: number;
  readonly times?: BatchTimes;
  readonly loadTimeoutMs: number;
  /** Types alone; never present. */
  readonly types?: { readonly input: (input: Input) => void; readonly output: Output };
}

/** What a worker needs to know of a model. */
export type ModelRef = Pick<Model, "key" | "name" | "version">;

/** The models of a pool. */
export interface ModelRegistry {
  readonly models: readonly Model[];
  /** By `name@version`, or by name alone: then the version listed last. */
  find(asked: string): Model | undefined;
}

/**
 * Defines a model. The same definition types the calls: `pool.run(upscale, input)`.
 *
 * @throws InvalidOptionError when an option is out of range.
 *
 * @example
 * ```ts
 * import { defineModel } from "@holdfast/gpu-pool";
 *
 * const upscale = defineModel<{ factor: number }, Uint8Array>({ name: "upscale", version: "2" });
 * upscale.key; // => "upscale@2"
 * ```
 */
export function defineModel<Input = unknown, Output = unknown>(options: ModelOptions): Model<Input, Output> {
  const check = optionsOf("defineModel");
  const name = check.string("name", options.name, 100);
  const version = check.string("version", options.version, 100, "1");
  for (const [option, value] of Object.entries({ name, version }))
    if (!/^[\w.-]+$/.test(value))
      check.refuse(option, value, "letters, digits, dots, hyphens and underscores");
  const { maxDelay, times } = options;
  if (times !== undefined) {
    check.number("times: perItemMs", times.perItemMs, { min: 0 });
    check.number("times: fixedMs", times.fixedMs, { min: 0 });
  }
  return {
    key: `${name}@${version}`,
    name,
    version,
    memoryBytes: check.integer("memoryBytes", options.memoryBytes, { min: 0 }, 0),
    maxBatch: check.integer("maxBatch", options.maxBatch, { min: 1, max: 10_000 }, 1),
    ...(maxDelay === undefined ? {} : { maxDelayMs: check.duration("maxDelay", maxDelay, {}) }),
    ...(times === undefined ? {} : { times }),
    loadTimeoutMs: check.duration(
      "loadTimeout",
      options.loadTimeout,
      { min: 1 },
      GPU_POOL_DEFAULTS.loadTimeoutMs,
    ),
  };
}

/**
 * A registry of models, held in memory. At least one, each model and version once.
 *
 * @throws InvalidOptionError when it is empty, or a model is there twice.
 */
export function modelRegistry(models: readonly (Model | ModelOptions)[]): ModelRegistry {
  const check = optionsOf("modelRegistry");
  const defined = models.map((one) => ("key" in one ? one : defineModel(one)));
  if (defined.length === 0) check.refuse("models", models, "at least one model");
  const byName = new Map<string, Model>();
  for (const model of defined) {
    if (byName.has(model.key)) check.refuse("models", model.key, "each model and version once");
    byName.set(model.key, model).set(model.name, model);
  }
  return { models: defined, find: (asked) => byName.get(asked) };
}
