// Waits between tries, named one by one.
import type { Backoff, Duration } from "@holdfast/core";
import { formatDuration, optionsOf } from "@holdfast/core";

const MAX_WAITS = 100;

/**
 * A backoff that waits as it is told: the first wait after the first failure, and so on; the last one repeats. Without
 * jitter: what fails together comes back together.
 *
 * @throws InvalidOptionError when there is no wait, there are more than 100, or one is not a duration.
 *
 * @example
 * ```ts
 * import { defineTask, explicitWaits } from "@holdfast/queue";
 *
 * const pay = defineTask({ name: "pay", attempts: 10, backoff: explicitWaits("1m", "5m", "10m") });
 * pay.backoff.summary; // => "waits of 1m, 5m, 10m"
 * ```
 */
export function explicitWaits(...waits: readonly Duration[]): Backoff {
  const check = optionsOf("explicitWaits");
  if (waits.length === 0 || waits.length > MAX_WAITS)
    check.refuse("waits", waits, `from 1 to ${MAX_WAITS} durations`);
  const delays = waits.map((wait, index) => check.duration(`waits[${index}]`, wait));
  return {
    summary: `waits of ${delays.map(formatDuration).join(", ")}`,
    next: (failures) => ({ delayMs: delays[Math.min(failures, delays.length) - 1]!, state: 0 }),
  };
}
