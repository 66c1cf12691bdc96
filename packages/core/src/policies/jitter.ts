// Jitter: spreads the waits of many clients, which failed together, so that they do not come back together.
import type { OptionReader } from "../options.ts";
import type { Random } from "../random.ts";

/**
 * How a wait of `d` ms is spread.
 *
 * - `"none"`: `d`.
 * - `"full"`: uniform in [0, d). Fewest calls in AWS's simulation of contending clients ("Exponential Backoff
 *   And Jitter", AWS Architecture Blog, 2015).
 * - `"equal"`: uniform in [d/2, d), same source: never nearly no wait at all.
 * - `{ fraction: f }`: `d` plus uniform in [0, f·d).
 * - `{ plusMinus: f }`: uniform in [d − f·d, d + f·d).
 *
 * Where a fraction would carry a wait over the cap, the whole spread is moved below it, so that clients at the
 * cap are spread too.
 */
export type Jitter =
  "none" | "full" | "equal" | { readonly fraction: number } | { readonly plusMinus: number };

/** `delayMs`, spread by `jitter`, from 0 to `capMs`. Pure, given its draw. */
export function spread(delayMs: number, capMs: number, jitter: Jitter, random: Random): number {
  const ms = Math.min(delayMs, capMs);
  if (jitter === "none") return ms;
  if (jitter === "full") return ms * random();
  if (jitter === "equal") return ms * (0.5 + 0.5 * random());
  const above = "fraction" in jitter ? jitter.fraction : jitter.plusMinus;
  const below = "fraction" in jitter ? 0 : jitter.plusMinus;
  const middle = Math.min(ms, capMs / (1 + above));
  return Math.min(capMs, middle * (1 - below + (below + above) * random()));
}

/** Checks a `jitter` option. */
export function checkJitter(check: OptionReader, jitter: Jitter | undefined, fallback: Jitter): Jitter {
  const value = jitter ?? fallback;
  if (value === "none" || value === "full" || value === "equal") return value;
  if (typeof value === "object" && value !== null) {
    if ("fraction" in value) return { fraction: share(check, "jitter.fraction", value.fraction) };
    if ("plusMinus" in value) return { plusMinus: share(check, "jitter.plusMinus", value.plusMinus) };
  }
  return check.refuse(
    "jitter",
    jitter,
    '"none", "full", "equal", { fraction } or { plusMinus } (exponential: also "decorrelated-aws" or "decorrelated-polly")',
  );
}

/** In words, for descriptions: `full jitter`. */
export function jitterText(jitter: Jitter): string {
  if (typeof jitter === "string") return jitter === "none" ? "no jitter" : `${jitter} jitter`;
  return "fraction" in jitter
    ? `+${percent(jitter.fraction)} jitter`
    : `±${percent(jitter.plusMinus)} jitter`;
}

function share(check: OptionReader, option: string, value: number): number {
  return check.number(option, value, { min: 0, max: 1 });
}

function percent(fraction: number): string {
  return `${Math.round(fraction * 1_000) / 10} %`;
}
