// Errors as answers: RFC 9457 problem details, with Retry-After where the error knows.
import type { Problem } from "../errors/holdfast-error.ts";
import { HoldfastError, isHoldfastError } from "../errors/holdfast-error.ts";

/**
 * An answer for whatever was thrown. A Holdfast error tells its code and message; anything else is a plain 500
 * that tells nothing, since its text was not written for the outside.
 *
 * @example
 * ```ts
 * import { problemResponse, TimeoutError } from "@holdfast/core";
 *
 * const response = problemResponse(new TimeoutError("db", 100));
 * response.status; // => 504
 * response.headers.get("content-type"); // => "application/problem+json"
 * ```
 */
export function problemResponse(
  error: unknown,
  headers?: ConstructorParameters<typeof Headers>[0],
): Response {
  const problem = isHoldfastError(error) ? error.toProblem() : UNKNOWN;
  const answer = new Response(JSON.stringify(problem), {
    status: problem.status,
    ...(headers ? { headers } : {}),
  });
  answer.headers.set("content-type", "application/problem+json");
  answer.headers.set("cache-control", "no-store");
  if (problem.retryAfterMs !== undefined)
    answer.headers.set("retry-after", retryAfterHeader(problem.retryAfterMs));
  return answer;
}

/** Milliseconds as the whole seconds of a `Retry-After` header (RFC 9110 §10.2.3), never less than asked, from 1. */
export function retryAfterHeader(ms: number): string {
  return String(Math.max(1, Math.ceil(ms / 1_000)));
}

/** A request that cannot be served as it is. `code: "BAD_REQUEST"` or one more precise; status 4xx. */
export class RequestError extends HoldfastError {
  override readonly code: string;
  override readonly status: number;

  constructor(status: number, code: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.status = status;
    this.code = code;
  }
}

const UNKNOWN: Problem = {
  type: "about:blank",
  title: "Internal server error",
  status: 500,
  detail: "The server failed to answer. The failure has been recorded.",
  code: "INTERNAL",
};
