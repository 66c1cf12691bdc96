// Which failures say that the callee has too much, and which never came from it.
import { hasCode, isHoldfastError } from "@holdfast/core";

/** What policies on this side refuse with, before anything is sent. */
const REFUSED_HERE: ReadonlySet<string> = new Set(["BULKHEAD_FULL", "CIRCUIT_OPEN", "THROTTLED"]);

/** Whether a policy further in refused the call: the callee has not seen it, so it says nothing about the callee. */
export function isRefusedHere(error: Error): boolean {
  return isHoldfastError(error) && REFUSED_HERE.has(error.code);
}

/** Timeouts, and errors of status 429 or 503. */
export function meansOverload(error: Error): boolean {
  if (hasCode(error, "TIMEOUT")) return true;
  const { status } = error as { readonly status?: unknown };
  return status === 429 || status === 503;
}
