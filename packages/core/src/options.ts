// Checks every option at construction, so that a mistake is an error at start-up and not a surprise at night.
import { InvalidOptionError } from "./errors/errors.ts";
import { DURATION_EXPECTED, formatDuration, parseDuration } from "./time/duration.ts";

/** The closed range a number must lie in. */
export interface Range {
  readonly min?: number;
  readonly max?: number;
}

/** Reads options of one maker and names it in every error. */
export interface OptionReader {
  /** An integer in range. `fallback` is used when the value is `undefined`; without one it is required. */
  integer(option: string, value: unknown, range?: Range, fallback?: number): number;
  /** A finite number in range. */
  number(option: string, value: unknown, range?: Range, fallback?: number): number;
  /** A duration in range (milliseconds), as milliseconds. */
  duration(option: string, value: unknown, range?: Range, fallback?: number): number;
  /** A non-empty string of at most `maxLength` characters. @defaultValue maxLength 255 */
  string(option: string, value: unknown, maxLength?: number, fallback?: string): string;
  boolean(option: string, value: unknown, fallback?: boolean): boolean;
  /** One of the listed values. */
  oneOf<T extends string>(option: string, value: unknown, allowed: readonly T[], fallback?: T): T;
  /** A function, or `undefined` when it is not required. */
  function<T extends (...args: never[]) => unknown>(option: string, value: T | undefined): T | undefined;
  /** An options object that is present and is an object. */
  object<T>(option: string, value: T): T & object;
  /** Refuses a value with a reason of the caller's own. */
  refuse(option: string, value: unknown, expected: string): never;
}

/**
 * Validators that throw {@link InvalidOptionError}, naming `owner`, the option, the value and the range.
 *
 * @example
 * ```ts
 * import { optionsOf } from "@holdfast/core";
 *
 * const check = optionsOf("bucket");
 * check.integer("capacity", 10, { min: 1 }); // => 10
 * check.duration("every", "2s"); // => 2000
 * ```
 */
export function optionsOf(owner: string): OptionReader {
  const refuse = (option: string, value: unknown, expected: string): never => {
    throw new InvalidOptionError(owner, option, value, expected);
  };
  return {
    refuse,
    integer: (option, value, range, fallback) => {
      const number = value === undefined ? fallback : value;
      if (!Number.isSafeInteger(number) || !within(number as number, range))
        return refuse(option, value, `an integer${rangeText(range, String)}`);
      return number as number;
    },
    number: (option, value, range, fallback) => {
      const number = value === undefined ? fallback : value;
      if (typeof number !== "number" || !Number.isFinite(number) || !within(number, range))
        return refuse(option, value, `a number${rangeText(range, String)}`);
      return number;
    },
    duration: (option, value, range, fallback) => {
      const ms = parseDuration(value === undefined ? fallback : value);
      if (ms === undefined || !within(ms, range))
        return refuse(option, value, `${DURATION_EXPECTED}${rangeText(range, formatDuration)}`);
      return ms;
    },
    string: (option, value, maxLength = 255, fallback) => {
      const text = value === undefined ? fallback : value;
      if (typeof text !== "string" || text.length === 0 || text.length > maxLength)
        return refuse(option, value, `a string of 1 to ${maxLength} characters`);
      return text;
    },
    boolean: (option, value, fallback) => {
      const flag = value === undefined ? fallback : value;
      return typeof flag === "boolean" ? flag : refuse(option, value, "true or false");
    },
    oneOf: (option, value, allowed, fallback) => {
      const choice = value === undefined ? fallback : value;
      const found = allowed.find((candidate) => candidate === choice);
      return found ?? refuse(option, value, `one of ${allowed.map((name) => `"${name}"`).join(", ")}`);
    },
    function: (option, value) =>
      value === undefined || typeof value === "function" ? value : refuse(option, value, "a function"),
    object: (option, value) =>
      typeof value === "object" && value !== null ? value : refuse(option, value, "an object"),
  };
}

function within(value: number, range: Range | undefined): boolean {
  return value >= (range?.min ?? -Infinity) && value <= (range?.max ?? Infinity);
}

function rangeText(range: Range | undefined, show: (value: number) => string): string {
  if (range === undefined) return "";
  if (range.max === undefined) return range.min === undefined ? "" : ` of at least ${show(range.min)}`;
  return range.min === undefined
    ? ` of at most ${show(range.max)}`
    : ` from ${show(range.min)} to ${show(range.max)}`;
}
