// A model: a name and a version, and what it needs of a device.
import type { Duration, OptionReader } from "@holdfast/core";
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
  /**
   * Most requests that wait for it, beside what the pool's own limit allows; one more is refused with a
   * `PoolSaturatedError`. Integer from 0. @defaultValue only the pool's limit
   */
  readonly queueLimit?: number;
  /** What is known of its batches beforehand. @defaultValue measured from the first one on */
  readonly times?: BatchTimes;
  /** The same by type of device, where it is known for each; at most 32. */
  readonly timesByType?: Readonly<Record<string, BatchTimes>>;
  /** How long it takes to load, until that was measured. @defaultValue "1s" */
  readonly loadTime?: Duration;
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
  readonly queueLimit?: number;
  readonly times?: BatchTimes;
  readonly timesByType?: Readonly<Record<string, BatchTimes>>;
  readonly loadMs?: number;
  readonly loadTimeoutMs: number;
  /** Types alone; never present. */
  readonly types?: { readonly input: (input: Input) => void; readonly output: Output };
}

/** What a worker needs to know of a model. */
export type ModelRef = Pick<Model, "key" | "name" | "version">;

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
  const { maxDelay, times, timesByType, loadTime, queueLimit } = options;
  if (times !== undefined) checkTimes("times", times, check);
  if (timesByType !== undefined) {
    const types = Object.entries(timesByType);
    if (types.length > 32) check.refuse("timesByType", types.length, "at most 32 types of devices");
    for (const [type, one] of types) checkTimes(`timesByType: ${type}`, one, check);
  }
  return {
    key: `${name}@${version}`,
    name,
    version,
    memoryBytes: check.integer("memoryBytes", options.memoryBytes, { min: 0 }, 0),
    maxBatch: check.integer("maxBatch", options.maxBatch, { min: 1, max: 10_000 }, 1),
    ...(maxDelay === undefined ? {} : { maxDelayMs: check.duration("maxDelay", maxDelay, {}) }),
    ...(queueLimit === undefined ? {} : { queueLimit: check.integer("queueLimit", queueLimit, { min: 0 }) }),
    ...(times === undefined ? {} : { times }),
    ...(timesByType === undefined ? {} : { timesByType }),
    ...(loadTime === undefined ? {} : { loadMs: check.duration("loadTime", loadTime, {}) }),
    loadTimeoutMs: check.duration(
      "loadTimeout",
      options.loadTimeout,
      { min: 1 },
      GPU_POOL_DEFAULTS.loadTimeoutMs,
    ),
  };
}

function checkTimes(option: string, times: BatchTimes, check: OptionReader): void {
  const { perItemMs, fixedMs } = check.object(option, times);
  check.number(`${option}: perItemMs`, perItemMs, { min: 0 });
  check.number(`${option}: fixedMs`, fixedMs, { min: 0 });
}
