// What it means for a key that its operation has failed.
import { hasCode, isHoldfastError } from "../errors/holdfast-error.ts";

/**
 * - `nothing`: the operation has had no effect; whoever asks next runs it again.
 * - `unknown`: it may have had its effect; the key is in doubt, unless there is a recovery point.
 * - `final`: the failure is the result; whoever asks next is told the same.
 */
export type OperationFailure = "nothing" | "unknown" | "final";

/** Says what a failure means. `aborted`: the operation had been told to stop before it failed. */
export type FailureRule = (error: unknown, circumstances: { readonly aborted: boolean }) => OperationFailure;

/** The default rule: unknown where nobody waited for the end of what was begun. */
export const defaultFailureRule: FailureRule = (error, { aborted }) => {
  if (aborted || hasCode(error, "TIMEOUT")) return "unknown";
  const outcome = isHoldfastError(error) ? (error as { readonly outcome?: unknown }).outcome : undefined;
  return outcome === "unknown" ? "unknown" : "nothing";
};
