// Backoff: how long to wait before the next try. Pure: failures so far, state and randomness in, milliseconds out.
import type { OptionReader } from "../options.ts";
import { optionsOf } from "../options.ts";
import type { Random } from "../random.ts";
import type { Duration } from "../time/duration.ts";
import { formatDuration } from "../time/duration.ts";
import type { Jitter } from "./jitter.ts";
import { checkJitter, jitterText, spread } from "./jitter.ts";

/** A rule for the waits between tries. Holds no state of its own: one value serves any number of calls. */
export interface Backoff {
  /** In words: `exponential backoff from 100ms to 30s, full jitter`. */
  readonly summary: string;
  /**
   * The wait before the next try.
   *
   * @param failures - Tries that have failed, from 1.
   * @param state - What the step before returned; 0 at first.
   */
  next(failures: number, state: number, random: Random): BackoffStep;
}

export interface BackoffStep {
  /** Finite, from 0 to the cap, after any number of failures. */
  readonly delayMs: number;
  /** To be handed to the next step. */
  readonly state: number;
}

/**
 * The two published formulas called "decorrelated": each wait depends on the one before.
 *
 * - `"decorrelated-aws"`: uniform in [base, 3 × previous wait] ("Exponential Backoff And Jitter", AWS Architecture
 *   Blog, 2015).
 * - `"decorrelated-polly"`: the smooth spread of Polly.Contrib.WaitAndRetry, `DecorrelatedJitterBackoffV2` (by
 *   George Polevoy; also in Polly 8): differences of 2ᵗ·tanh(√(4t)), t = try + random. Its median is the base.
 */
export type DecorrelatedJitter = "decorrelated-aws" | "decorrelated-polly";

export interface ConstantBackoffOptions {
  /** @defaultValue "none" */
  readonly jitter?: Jitter;
}

export interface LinearBackoffOptions {
  /** The first wait. @defaultValue "100ms" */
  readonly base?: Duration;
  /** By how much each wait is longer than the one before. @defaultValue base */
  readonly step?: Duration;
  /** No wait is longer. @defaultValue "30s" */
  readonly cap?: Duration;
  /** @defaultValue "none" */
  readonly jitter?: Jitter;
}

export interface ExponentialBackoffOptions {
  /** The first wait, before jitter. From 1 ms to `cap`. @defaultValue "100ms" */
  readonly base?: Duration;
  /** How many times longer each wait is than the one before. From 1 to 100. @defaultValue 2 */
  readonly factor?: number;
  /** No wait is longer. @defaultValue "30s" */
  readonly cap?: Duration;
  /** @defaultValue "full" */
  readonly jitter?: Jitter | DecorrelatedJitter;
}

/** The backoffs' defaults. */
export const BACKOFF_DEFAULTS: {
  readonly baseMs: number;
  readonly capMs: number;
  readonly factor: number;
  readonly jitter: Jitter;
} = { baseMs: 100, capMs: 30_000, factor: 2, jitter: "full" };

/**
 * Waits `delay` before every try.
 *
 * @throws InvalidOptionError when `delay` or the jitter is out of range.
 *
 * @example
 * ```ts
 * import { constant, systemRandom } from "@holdfast/core";
 *
 * constant("2s").next(7, 0, systemRandom).delayMs; // => 2000
 * ```
 */
export function constant(delay: Duration, options: ConstantBackoffOptions = {}): Backoff {
  const check = optionsOf("constant");
  const ms = check.duration("delay", delay);
  const jitter = checkJitter(check, options.jitter, "none");
  return computed(`constant backoff of ${formatDuration(ms)}`, roomFor(ms, jitter), jitter, () => ms);
}

/**
 * Waits `base`, then `step` longer before each further try.
 *
 * @throws InvalidOptionError when an option is out of range.
 *
 * @example
 * ```ts
 * import { linear, systemRandom } from "@holdfast/core";
 *
 * linear({ base: "1s", step: "500ms" }).next(3, 0, systemRandom).delayMs; // => 2000
 * ```
 */
export function linear(options: LinearBackoffOptions = {}): Backoff {
  const check = optionsOf("linear");
  const capMs = check.duration("cap", options.cap, { min: 1 }, BACKOFF_DEFAULTS.capMs);
  const baseMs = checkBase(check, options.base, capMs, 0);
  const stepMs = check.duration("step", options.step, {}, baseMs);
  const jitter = checkJitter(check, options.jitter, "none");
  const range = `linear backoff from ${formatDuration(baseMs)} by ${formatDuration(stepMs)} to ${formatDuration(capMs)}`;
  return computed(range, capMs, jitter, (failures) => baseMs + stepMs * (failures - 1));
}

/**
 * Waits `base`, then `factor` times longer before each further try, up to `cap`. The default of `retry`.
 *
 * @throws InvalidOptionError when an option is out of range, or `factor` is combined with a decorrelated jitter.
 *
 * @example
 * ```ts
 * import { exponential, systemRandom } from "@holdfast/core";
 *
 * // base · 2^attempt plus a random tenth at most
 * const backoff = exponential({ base: "200ms", jitter: { fraction: 0.1 } });
 * const { delayMs } = backoff.next(4, 0, systemRandom);
 * delayMs >= 1_600 && delayMs < 1_760; // => true
 * ```
 */
export function exponential(options: ExponentialBackoffOptions = {}): Backoff {
  const check = optionsOf("exponential");
  const capMs = check.duration("cap", options.cap, { min: 1 }, BACKOFF_DEFAULTS.capMs);
  const baseMs = checkBase(check, options.base, capMs, 1);
  const range = `exponential backoff from ${formatDuration(baseMs)} to ${formatDuration(capMs)}`;
  if (options.jitter === "decorrelated-aws" || options.jitter === "decorrelated-polly") {
    if (options.factor !== undefined)
      check.refuse(
        "factor",
        options.factor,
        `left out with jitter "${options.jitter}", which has its own growth`,
      );
    const summary = `${range}, ${options.jitter} jitter`;
    return options.jitter === "decorrelated-aws"
      ? { summary, next: (_, state, random) => awsStep(baseMs, capMs, state, random) }
      : { summary, next: (failures, state, random) => pollyStep(baseMs, capMs, failures, state, random) };
  }
  const factor = check.number("factor", options.factor, { min: 1, max: 100 }, BACKOFF_DEFAULTS.factor);
  const jitter = checkJitter(check, options.jitter, BACKOFF_DEFAULTS.jitter);
  // Beyond 2¹⁰²⁴ the power is Infinity, which the cap cuts like any other.
  return computed(range, capMs, jitter, (failures) => baseMs * factor ** (failures - 1));
}

/**
 * Waits as listed; the last wait repeats.
 *
 * @param list - 1 to 1,000 durations.
 * @throws InvalidOptionError when the list is empty or holds something else.
 *
 * @example
 * ```ts
 * import { delays, systemRandom } from "@holdfast/core";
 *
 * delays([0, "1s", "10s"]).next(8, 0, systemRandom).delayMs; // => 10000
 * ```
 */
export function delays(list: readonly Duration[], options: ConstantBackoffOptions = {}): Backoff {
  const check = optionsOf("delays");
  if (!Array.isArray(list) || list.length === 0 || list.length > 1_000)
    return check.refuse("list", list, "an array of 1 to 1000 durations");
  const ms = list.map((delay, index) => check.duration(`list[${index}]`, delay));
  const jitter = checkJitter(check, options.jitter, "none");
  const longest = Math.max(...ms);
  const shown = ms.slice(0, 5).map(formatDuration).join(", ") + (ms.length > 5 ? ", …" : "");
  return computed(`waits of ${shown}`, roomFor(longest, jitter), jitter, (failures) => {
    return ms[Math.min(failures, ms.length) - 1]!;
  });
}

function computed(
  range: string,
  capMs: number,
  jitter: Jitter,
  delay: (failures: number) => number,
): Backoff {
  return {
    summary: `${range}, ${jitterText(jitter)}`,
    next: (failures, state, random) => ({
      delayMs: bounded(spread(delay(failures), capMs, jitter, random), capMs),
      state,
    }),
  };
}

/** The state is the wait before; 0 stands for the base, as in the source. */
function awsStep(baseMs: number, capMs: number, state: number, random: Random): BackoffStep {
  const longest = 3 * (state === 0 ? baseMs : state);
  const delayMs = bounded(baseMs + random() * (longest - baseMs), capMs);
  return { delayMs, state: delayMs };
}

/** The state is the curve's value at the point drawn before. */
function pollyStep(
  baseMs: number,
  capMs: number,
  failures: number,
  state: number,
  random: Random,
): BackoffStep {
  const t = failures - 1 + random();
  const value = 2 ** t * Math.tanh(Math.sqrt(4 * t));
  // From t = 1024 on the curve is Infinity and the difference NaN, which is where others went wrong: it is the cap.
  return { delayMs: bounded(((value - state) / 1.4) * baseMs, capMs), state: value };
}

function bounded(ms: number, capMs: number): number {
  // Written so that NaN, from a formula or from a faulty `random`, becomes the cap.
  return ms < capMs ? Math.max(0, ms) : capMs;
}

/** A fixed delay is its own cap; a jitter that goes above it needs that much more room. */
function roomFor(ms: number, jitter: Jitter): number {
  if (typeof jitter === "string") return ms;
  return ms * (1 + ("fraction" in jitter ? jitter.fraction : jitter.plusMinus));
}

function checkBase(check: OptionReader, base: Duration | undefined, capMs: number, min: number): number {
  const baseMs = check.duration("base", base, { min, max: capMs }, Math.min(BACKOFF_DEFAULTS.baseMs, capMs));
  return baseMs;
}
