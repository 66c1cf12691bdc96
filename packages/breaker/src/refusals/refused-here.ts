// Which failures never came from the callee.
import { isHoldfastError } from "@holdfast/core";

/** What policies on this side refuse with, before anything is sent. */
const REFUSED_HERE: ReadonlySet<string> = new Set([
  "BULKHEAD_FULL",
  "CIRCUIT_OPEN",
  "RATE_LIMITED",
  "RATE_LIMIT_QUEUE_FULL",
  "THROTTLED",
]);

/** Whether a policy further in refused the call: the callee has not seen it, so it says nothing about the callee. */
export function isRefusedHere(error: Error): boolean {
  return isHoldfastError(error) && REFUSED_HERE.has(error.code);
}
