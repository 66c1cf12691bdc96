// Durations: milliseconds as a number, or text with a unit. Seconds never appear bare.
import { InvalidOptionError } from "../errors/errors.ts";

/** A unit a duration may end in: milliseconds, seconds, minutes, hours, days of 24 hours. */
export type DurationUnit = "ms" | "s" | "m" | "h" | "d";

/**
 * A length of time: a number of milliseconds, or text with a unit, such as `"250ms"`, `"2s"`, `"5m"`, `"1h"`,
 * `"7d"`. Fractions are allowed (`"1.5s"`), negative and infinite ones are not.
 */
export type Duration = number | `${number}${DurationUnit}`;

/** The longest duration accepted, in milliseconds: 100,000 days, about 273 years. */
export const MAX_DURATION_MS: number = 8_640_000_000_000;

const MS_PER_UNIT: Readonly<Record<DurationUnit, number>> = {
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

const PATTERN = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/;

/**
 * A duration as milliseconds.
 *
 * @throws InvalidOptionError when it is not a finite, non-negative duration with a known unit.
 *
 * @example
 * ```ts
 * import { toMs } from "@holdfast/core";
 *
 * toMs("1.5s"); // => 1500
 * toMs(250); // => 250
 * ```
 */
export function toMs(duration: Duration): number {
  const ms = parseDuration(duration);
  if (ms === undefined) throw new InvalidOptionError("toMs", "duration", duration, DURATION_EXPECTED);
  return ms;
}

/** What an invalid duration's error message asks for. */
export const DURATION_EXPECTED: string =
  'a duration: milliseconds as a number, or text such as "250ms", "2s", "5m", "1h" or "7d"';

/** A duration as milliseconds, or `undefined` when it is not one. */
export function parseDuration(duration: unknown): number | undefined {
  let ms: number;
  if (typeof duration === "number") {
    ms = duration;
  } else {
    const match = typeof duration === "string" && duration.length <= 32 ? PATTERN.exec(duration) : null;
    if (match === null) return undefined;
    ms = Number(match[1]) * MS_PER_UNIT[match[2] as DurationUnit];
  }
  return ms >= 0 && ms <= MAX_DURATION_MS ? ms : undefined;
}

/**
 * Milliseconds in the shortest exact text with a unit, for messages and descriptions.
 *
 * @example
 * ```ts
 * import { formatDuration } from "@holdfast/core";
 *
 * formatDuration(90_000); // => "90s"
 * formatDuration(120_000); // => "2m"
 * ```
 */
export function formatDuration(ms: number): string {
  if (!Number.isFinite(ms)) return "unlimited";
  const units: readonly DurationUnit[] = ["d", "h", "m", "s"];
  const unit = ms > 0 ? units.find((candidate) => ms % MS_PER_UNIT[candidate] === 0) : undefined;
  return unit === undefined ? `${Math.round(ms * 1_000) / 1_000}ms` : `${ms / MS_PER_UNIT[unit]}${unit}`;
}
