// What a circuit breaker is told, checked, with its defaults.
import type { Clock, Context } from "@holdfast/core";
import { hasCode, optionsOf, systemClock, systemRandom } from "@holdfast/core";
import { isRefusedHere } from "../refusals/refused-here.ts";
import type { CircuitSettings } from "./circuit.ts";
import type { CircuitBreakerOptions } from "./contract.ts";
import { openTimeOf } from "./open-time.ts";
import { timeWindow } from "./rules/time-window.ts";

/** The defaults of `circuitBreaker`. */
export const CIRCUIT_BREAKER_DEFAULTS: {
  readonly probes: number;
  readonly probeDeadlineMs: number;
  readonly rampFrom: number;
  readonly maxRetryAfterMs: number;
} = { probes: 1, probeDeadlineMs: 30_000, rampFrom: 0.1, maxRetryAfterMs: 300_000 };

/** {@link CircuitBreakerOptions}, checked. */
export interface BreakerSettings {
  readonly name: string;
  readonly summary: string;
  readonly clock: Clock;
  /** From how long on a call is slow, in milliseconds; `Infinity`: never. */
  readonly slowMs: number;
  readonly maxRetryAfterMs: number;
  readonly isFailure: (error: Error, context: Context) => boolean;
  readonly isFailureResult: CircuitBreakerOptions["isFailureResult"];
  readonly enforce: boolean | (() => boolean);
  readonly onStateChange: CircuitBreakerOptions["onStateChange"];
  /** With a counter of its own. */
  readonly circuit: CircuitSettings;
}

/** @throws InvalidOptionError */
export function breakerSettingsOf(kind: string, options: CircuitBreakerOptions): BreakerSettings {
  const check = optionsOf("circuitBreaker");
  const { probes, probeDeadlineMs, rampFrom, maxRetryAfterMs } = CIRCUIT_BREAKER_DEFAULTS;
  const rule = options.trip ?? timeWindow();
  if (typeof rule !== "object" || typeof rule.counter !== "function")
    check.refuse("trip", rule, "consecutive(), countWindow() or timeWindow()");
  if (rule.countsSlow && options.slowCall === undefined)
    check.refuse("slowCall", undefined, "a duration, since the rule has a slowRate");
  const { enforce, rampUp, slowCall, clock = systemClock } = options;
  const openTime = openTimeOf(options.openFor);
  const rampShare = { min: 0.001, max: 1 };
  return {
    name: check.string("name", options.name, 255, kind),
    summary: `opens for ${openTime.summary} when ${rule.summary}`,
    clock,
    slowMs: slowCall === undefined ? Infinity : check.duration("slowCall", slowCall, { min: 1 }),
    maxRetryAfterMs: check.duration("maxRetryAfter", options.maxRetryAfter, {}, maxRetryAfterMs),
    isFailure: check.function("isFailure", options.isFailure) ?? speaksAgainstCallee,
    isFailureResult: check.function("isFailureResult", options.isFailureResult),
    enforce: typeof enforce === "function" ? enforce : check.boolean("enforce", enforce, true),
    onStateChange: check.function("onStateChange", options.onStateChange),
    circuit: {
      counter: rule.counter(),
      openTime,
      probes: check.integer("probes", options.probes, { min: 1, max: 1_000 }, probes),
      probeDeadlineMs: check.duration("probeDeadline", options.probeDeadline, { min: 1 }, probeDeadlineMs),
      rampOverMs: rampUp === undefined ? 0 : check.duration("rampUp.over", rampUp.over, { min: 1 }),
      rampFrom: check.number("rampUp.from", rampUp?.from, rampShare, rampFrom),
      random: check.function("random", options.random) ?? systemRandom,
      now: () => clock.monotonic(),
    },
  };
}

function speaksAgainstCallee(error: Error): boolean {
  return !hasCode(error, "INVALID_OPTION") && !isRefusedHere(error);
}
