// How long a breaker stays open: longer each time, spread by draw.
import type { Duration, Random } from "@holdfast/core";
import { formatDuration, optionsOf } from "@holdfast/core";
import type { OpenTimeOptions } from "./contract.ts";

/** Open times, by how often in a row it has opened. */
export interface OpenTime {
  readonly summary: string;
  readonly initialMs: number;
  readonly maxMs: number;
  readonly factor: number;
  readonly jitter: number;
  /** @param opens - From 1. */
  ms(opens: number, random: Random): number;
}

/** The defaults of `openFor`. */
export const OPEN_TIME_DEFAULTS: {
  readonly initialMs: number;
  readonly maxMs: number;
  readonly factor: number;
  readonly jitter: number;
} = { initialMs: 5_000, maxMs: 60_000, factor: 2, jitter: 0.1 };

/** @throws InvalidOptionError */
export function openTimeOf(option: Duration | OpenTimeOptions = {}): OpenTime {
  const check = optionsOf("circuitBreaker");
  const defaults = OPEN_TIME_DEFAULTS;
  if (typeof option !== "object") {
    const fixedMs = check.duration("openFor", option, { min: 1 });
    const fixed = { initialMs: fixedMs, maxMs: fixedMs, factor: 1, jitter: 0 };
    return { ...fixed, summary: formatDuration(fixedMs), ms: () => fixedMs };
  }
  const initialMs = check.duration("openFor.initial", option.initial, { min: 1 }, defaults.initialMs);
  const most = Math.max(initialMs, defaults.maxMs);
  const maxMs = check.duration("openFor.max", option.max, { min: initialMs }, most);
  const factor = check.number("openFor.factor", option.factor, { min: 1, max: 1_000 }, defaults.factor);
  const jitter = check.number("openFor.jitter", option.jitter, { min: 0, max: 1 }, defaults.jitter);
  return {
    initialMs,
    maxMs,
    factor,
    jitter,
    summary: `${formatDuration(initialMs)}, growing to ${formatDuration(maxMs)}`,
    ms: (opens, random) => Math.min(maxMs, initialMs * factor ** (opens - 1)) * (1 + jitter * random()),
  };
}
