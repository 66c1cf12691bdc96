// A refusal: told to those who listen, and made as an error.
import { channel } from "@holdfast/core";
import { BulkheadFullError } from "./errors.ts";
import { withoutStack } from "../refusals/without-stack.ts";

/** Published as `holdfast:breaker:bulkhead_refused` for every call that is refused. */
export interface BulkheadRefusedEvent {
  readonly bulkhead: string;
  readonly reason: "full" | "timeout";
  readonly running: number;
  readonly waiting: number;
}

const channelOfRefusals = /* @__PURE__ */ channel<BulkheadRefusedEvent>("breaker", "bulkhead_refused");

/** The error of a refusal, once it has been published. */
export function refused(
  bulkhead: string,
  reason: "full" | "timeout",
  running: number,
  waiting: number,
  retryAfterMs: number | undefined,
): BulkheadFullError {
  if (channelOfRefusals.hasSubscribers) channelOfRefusals.publish({ bulkhead, reason, running, waiting });
  return withoutStack(() => new BulkheadFullError(bulkhead, reason, running, waiting, retryAfterMs));
}
