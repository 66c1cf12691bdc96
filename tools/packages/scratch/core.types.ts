// Uses @holdfast/core from strict TypeScript.
import type { Clock, Duration, Policy } from "@holdfast/core";
import { fallback, hedge, pipeline, retry, timeout } from "@holdfast/core";
import type { Place } from "@holdfast/core/collections";
import { OrderedQueue } from "@holdfast/core/collections";
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

interface Request {
  readonly deadline: number;
  place: number;
}
const place: Place<Request> = { of: ({ place: at }) => at, set: (request, at) => void (request.place = at) };
const waiting = new OrderedQueue<Request>((a, b) => a.deadline < b.deadline, place);
const next: Request | undefined = waiting.first;

export { answer, bad, both, next };
