// Uses @holdfast/core from strict TypeScript.
import type { Clock, Duration, Policy } from "@holdfast/core";
import { fallback, hedge, pipeline, retry, timeout } from "@holdfast/core";
import { manualClock } from "@holdfast/core/testing";

const limit: Duration = "250ms";
const clock: Clock = manualClock();
const policy: Policy = timeout(limit, { clock });
const answer: Promise<number> = policy.run(async ({ signal, attempt }) => (signal.aborted ? 0 : attempt));
const both: Promise<number | "none"> = pipeline(fallback("none"), retry(), hedge({ delay: "1s" })).run(
  async () => 1,
);

// @ts-expect-error a duration has a unit
const bad: Duration = "250";

export { answer, bad, both };
