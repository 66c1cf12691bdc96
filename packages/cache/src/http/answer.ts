// Answers made of what is kept, and what is said about how they came about.
import type { Handler } from "@holdfast/core";
import { channel } from "@holdfast/core";
import type { Asker } from "./asker.ts";
import { isNotModified } from "./conditional.ts";
import type { HttpCacheEvent } from "./contract.ts";
import type { CacheStatus } from "./fields.ts";
import { cacheStatusText, headersOf, notModifiedFields } from "./fields.ts";
import type { Outcome } from "./fill.ts";
import { BODILESS, bytes } from "./fill.ts";
import { currentAgeMs } from "./freshness.ts";
import type { HttpCacheSettings } from "./settings.ts";
import type { StoredResponse } from "./stored-response.ts";

/** An answer, and how it came about. */
export interface Answer {
  readonly response: Response;
  readonly result: HttpCacheEvent["result"];
  readonly status: CacheStatus;
}

const answered = /* @__PURE__ */ channel<HttpCacheEvent>("cache", "http");

/**
 * What is kept, as the answer to a request: with `Age` (RFC 9111 §5.1), without a body to HEAD, and as 304 for those who have
 * it (§4.3.2).
 */
export function responseFrom(stored: StoredResponse, { request }: Asker, ageMs: number): Response {
  const { status, statusText, body, receivedAtMs } = stored;
  const headers = headersOf(stored.headers);
  headers.set("age", String(Math.floor(ageMs / 1_000)));
  if (isNotModified(request.headers, { status, headers, receivedAtMs }))
    return new Response(null, { status: 304, headers: notModifiedFields(headers) });
  const isBodiless = BODILESS.has(status);
  if (!isBodiless) headers.set("content-length", String(body.byteLength));
  const isSent = !isBodiless && request.method !== "HEAD";
  return new Response(isSent ? bytes(body) : null, { status, statusText, headers });
}

/** What the origin has just answered, while it is being kept. */
export function responseOf(
  { head, body }: Extract<Outcome, { kind: "new" }>,
  asker: Asker,
  nowMs: number,
): Response {
  const { status, statusText, headers } = head;
  if (isNotModified(asker.headers, { status, headers, receivedAtMs: nowMs })) {
    void body?.stream.cancel().catch(() => {});
    return new Response(null, { status: 304, headers: notModifiedFields(headers) });
  }
  return new Response(body?.stream ?? null, { status, statusText, headers });
}

/** Says it in `Cache-Status`, behind what caches nearer to the origin have said (RFC 9211 §2), and to whoever listens. */
export function told(
  { response, result, status }: Answer,
  { name, cacheStatus }: HttpCacheSettings,
): Response {
  if (answered.hasSubscribers)
    answered.publish({
      cache: name,
      result,
      status: response.status,
      stored: status.stored === true,
      collapsed: status.collapsed === true,
      ...(status.detail === undefined ? {} : { detail: status.detail }),
    });
  if (!cacheStatus) return response;
  const text = cacheStatusText(name, status);
  try {
    response.headers.append("cache-status", text);
    return response;
  } catch {
    // What `fetch` has answered cannot be changed.
    if (response.status < 200) return response;
    const headers = new Headers(response.headers);
    headers.append("cache-status", text);
    const { status: code, statusText, body } = response;
    return new Response(BODILESS.has(code) ? null : body, { status: code, statusText, headers });
  }
}

/** What is kept, served as it is. */
export function served(
  asker: Asker,
  stored: StoredResponse,
  reuse: { readonly kind: "fresh" | "stale"; readonly ageMs: number },
  isCollapsed: boolean,
): Answer {
  const ttl = Math.floor((stored.lifetimeMs - reuse.ageMs) / 1_000);
  return {
    response: responseFrom(stored, asker, reuse.ageMs),
    result: reuse.kind === "fresh" ? "hit" : "stale",
    status: { hit: true, ttl, collapsed: isCollapsed },
  };
}

/** What is kept, since validating it has failed (RFC 5861 §4). */
export function insteadOfError(
  asker: Asker,
  stored: StoredResponse,
  nowMs: number,
  status: CacheStatus,
): Answer {
  const ageMs = currentAgeMs(stored.initialAgeMs, stored.receivedAtMs, nowMs);
  return {
    response: responseFrom(stored, asker, ageMs),
    result: "stale",
    status: { ...status, detail: "stale-if-error" },
  };
}

/** What the origin answers, and nothing of it kept. */
export async function pass(request: Request, next: Handler, status: CacheStatus): Promise<Answer> {
  const response = await next(request);
  return { response, result: "bypass", status: { ...status, fwdStatus: response.status } };
}

/** Nothing is there, and nobody may be asked (RFC 9111 §5.2.1.7). */
export function notCached(): Answer {
  const response = new Response(null, { status: 504, headers: { "cache-control": "no-store" } });
  return { response, result: "refused", status: { detail: "only-if-cached" } };
}
