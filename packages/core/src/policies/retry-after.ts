// Retry-After: what a failed callee said about when to come back.
import { MAX_DURATION_MS } from "../time/duration.ts";

/** How far `cause` is followed: a client's error, the library's it wraps, the transport's below. */
const MAX_DEPTH = 4;

/**
 * How long a failure asks to wait, in milliseconds, or `undefined` when it does not say. Looks at the value, its
 * `response` and its `cause`s for
 *
 * - `retryAfterMs`, as Holdfast's errors and refusals have it;
 * - `headers.get("retry-after-ms")`, as some AI providers send it;
 * - `headers.get("retry-after")`, in seconds or as an HTTP date (RFC 9110 §10.2.3). A date is taken relative to
 *   the answer's own `Date` header, so that the two clocks need not agree.
 *
 * Never throws, whatever the value is.
 *
 * @param failure - What was thrown, or a result such as a `Response`.
 * @param nowMs - Wall time, in milliseconds since the epoch; used for a date without a `Date` header.
 *
 * @example
 * ```ts
 * import { retryAfterOf } from "@holdfast/core";
 *
 * const answer = new Response(null, { status: 503, headers: { "retry-after": "3" } });
 * retryAfterOf(answer, 0); // => 3000
 * ```
 */
export function retryAfterOf(failure: unknown, nowMs: number): number | undefined {
  try {
    return search(failure, nowMs);
  } catch {
    // A proxy or a throwing getter. Such a value says nothing.
    return undefined;
  }
}

interface Clues {
  readonly retryAfterMs?: unknown;
  readonly headers?: { readonly get?: unknown };
  readonly response?: unknown;
  readonly cause?: unknown;
}

function search(failure: unknown, nowMs: number): number | undefined {
  let candidate = failure;
  for (let depth = 0; depth < MAX_DEPTH; depth += 1) {
    if (!isObject(candidate)) return undefined;
    const found = statedBy(candidate, nowMs) ?? statedBy(candidate.response, nowMs);
    if (found !== undefined) return found;
    candidate = candidate.cause;
  }
  return undefined;
}

function statedBy(value: unknown, nowMs: number): number | undefined {
  if (!isObject(value)) return undefined;
  if (typeof value.retryAfterMs === "number") return within(value.retryAfterMs);
  const headers = value.headers;
  if (!isObject(headers) || typeof headers.get !== "function") return undefined;
  const header = (name: string): string => {
    const text: unknown = (headers as { get(name: string): unknown }).get(name);
    return typeof text === "string" ? text.trim() : "";
  };
  return (
    milliseconds(header("retry-after-ms")) ?? parseRetryAfter(header("retry-after"), header("date"), nowMs)
  );
}

function milliseconds(text: string): number | undefined {
  return /^\d+(\.\d+)?$/.test(text) ? within(Number(text)) : undefined;
}

function parseRetryAfter(text: string, sentAt: string, nowMs: number): number | undefined {
  if (/^\d+$/.test(text)) return within(Number(text) * 1_000);
  const at = httpDate(text);
  return at === undefined ? undefined : within(Math.max(0, at - (httpDate(sentAt) ?? nowMs)));
}

// `Date.parse` alone would take "-5" or "1.5" for a year.
function httpDate(text: string): number | undefined {
  const at = /^[A-Z][a-z]{2,8},? /.test(text) ? Date.parse(text) : NaN;
  return Number.isNaN(at) ? undefined : at;
}

/** Absurdly long waits stay comparable numbers; negative ones and NaN say nothing. */
function within(ms: number): number | undefined {
  return ms >= 0 ? Math.min(ms, MAX_DURATION_MS) : undefined;
}

function isObject(value: unknown): value is Clues {
  return (typeof value === "object" || typeof value === "function") && value !== null;
}
