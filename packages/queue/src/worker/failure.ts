// What a handler's error becomes: plain data in the store, and a decision about another try.
import { asError, hasCode, isHoldfastError } from "@holdfast/core";
import type { TaskFailure } from "../task/task-status.ts";

const MAX_CODE = 100;
const MAX_MESSAGE = 2_000;

/** The error's code (or its name) and its message, bounded. A value that is no Error is described. */
export function failureOf(thrown: unknown): TaskFailure {
  try {
    const error = asError(thrown);
    const { code } = error as { readonly code?: unknown };
    const label = typeof code === "string" && code !== "" ? code : error.name;
    return { code: String(label).slice(0, MAX_CODE), message: String(error.message).slice(0, MAX_MESSAGE) };
  } catch {
    return { code: "UNKNOWN", message: "the error cannot be read" };
  }
}

/** Whether no further try can help: told so, or what went in or came out cannot be taken. */
export function isPermanent(thrown: unknown): boolean {
  if (isHoldfastError(thrown) && (thrown as { readonly permanent?: unknown }).permanent === true) return true;
  return (
    hasCode(thrown, "INVALID_PAYLOAD") ||
    hasCode(thrown, "PAYLOAD_TOO_LARGE") ||
    hasCode(thrown, "UNSERIALIZABLE")
  );
}
