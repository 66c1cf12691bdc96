// Which failures say that the callee has too much.
import { hasCode } from "@holdfast/core";

/** Timeouts, and errors of status 429 or 503. */
export function meansOverload(error: Error): boolean {
  if (hasCode(error, "TIMEOUT")) return true;
  const { status } = error as { readonly status?: unknown };
  return status === 429 || status === 503;
}
