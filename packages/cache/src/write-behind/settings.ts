// Options of write-behind, checked.
import type { Backoff, Clock, Random } from "@holdfast/core";
import { exponential, optionsOf, systemClock, systemRandom } from "@holdfast/core";
import type { Cacheable, CacheKey } from "../contract.ts";
import type { WriteBehindOptions, WriteVerdict } from "./contract.ts";
import type { WriteLog } from "./log.ts";

/** The defaults of `writeBehind`. */
export const WRITE_BEHIND_DEFAULTS: {
  readonly delayMs: number;
  readonly concurrency: number;
  readonly maxBatch: number;
  readonly attempts: number;
  readonly writeDeadlineMs: number;
  readonly leaseMs: number;
  readonly pollIntervalMs: number;
  readonly maxKeys: number;
  readonly maxWaiting: number;
} = {
  delayMs: 100,
  concurrency: 8,
  maxBatch: 100,
  attempts: 20,
  writeDeadlineMs: 30_000,
  leaseMs: 30_000,
  pollIntervalMs: 1_000,
  maxKeys: 10_000,
  maxWaiting: 1_000,
};

/** Times in whole milliseconds. */
export interface WriteBehindSettings {
  readonly name: string;
  readonly log: WriteLog;
  readonly delayMs: number;
  readonly concurrency: number;
  /** Most entries in one call to the source. */
  readonly batchSize: number;
  readonly attempts: number;
  readonly backoff: Backoff;
  readonly judge: (error: Error, attempt: number) => WriteVerdict;
  readonly writeDeadlineMs: number;
  readonly leaseMs: number;
  readonly pollMs: number;
  readonly maxKeys: number;
  /** How long a write waits for room; 0: not at all. */
  readonly waitMs: number;
  readonly maxWaiting: number;
  readonly clock: Clock;
  readonly random: Random;
}

/** @throws InvalidOptionError */
export function settingsOf<Key extends CacheKey, Value extends Cacheable>(
  options: WriteBehindOptions<Key, Value>,
): WriteBehindSettings {
  const check = optionsOf("writeBehind");
  check.object("options", options);
  const defaults = WRITE_BEHIND_DEFAULTS;
  const log = check.object("log", options.log);
  if (typeof log.append !== "function") check.refuse("log", log, "a write log such as memoryWriteLog()");
  for (const name of ["write", "writeMany", "load"] as const)
    check.function(name, options[name] as (() => unknown) | undefined);
  if ((options.write === undefined) === (options.writeMany === undefined))
    check.refuse("write", options.write, "a function, unless there is a writeMany, and not both");
  const { codec, whenFull } = options;
  if (codec !== undefined && (typeof codec.encode !== "function" || typeof codec.decode !== "function"))
    check.refuse("codec", codec, "an object with encode() and decode()");
  const maxBatch = check.integer("maxBatch", options.maxBatch, { min: 1, max: 1_000 }, defaults.maxBatch);
  const ms = (
    name: "delay" | "lease" | "pollInterval" | "writeDeadline",
    min: number,
    fallback: number,
  ): number => Math.ceil(check.duration(name, options[name], { min }, fallback));
  return {
    name: check.string("name", options.name, 255, "write-behind"),
    log,
    delayMs: ms("delay", 0, defaults.delayMs),
    concurrency: check.integer(
      "concurrency",
      options.concurrency,
      { min: 1, max: 1_000 },
      defaults.concurrency,
    ),
    batchSize: options.writeMany === undefined ? 1 : maxBatch,
    attempts: check.integer("attempts", options.attempts, { min: 1, max: 1_000 }, defaults.attempts),
    backoff: options.backoff === undefined ? exponential() : check.object("backoff", options.backoff),
    judge: check.function("judge", options.judge) ?? (() => "retry"),
    writeDeadlineMs: ms("writeDeadline", 1, defaults.writeDeadlineMs),
    leaseMs: ms("lease", 10, defaults.leaseMs),
    pollMs: ms("pollInterval", 1, defaults.pollIntervalMs),
    maxKeys: check.integer("maxKeys", options.maxKeys, { min: 1, max: 10_000_000 }, defaults.maxKeys),
    waitMs: waitOf(whenFull),
    maxWaiting: check.integer(
      "maxWaiting",
      options.maxWaiting,
      { min: 0, max: 1_000_000 },
      defaults.maxWaiting,
    ),
    clock: options.clock ?? systemClock,
    random: check.function("random", options.random) ?? systemRandom,
  };
}

function waitOf(whenFull: WriteBehindOptions<CacheKey, Cacheable>["whenFull"]): number {
  const check = optionsOf("writeBehind");
  if (whenFull === undefined || whenFull === "reject") return 0;
  if (typeof whenFull !== "object" || whenFull === null)
    return check.refuse("whenFull", whenFull, '"reject" or { wait: a duration }');
  return check.duration("whenFull.wait", whenFull.wait, { min: 1 });
}
