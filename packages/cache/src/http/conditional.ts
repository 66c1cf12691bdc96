// Conditional requests: those of clients, answered from what is kept, and those that the cache makes itself.
import { parseHttpDate } from "./http-date.ts";

/** What validation needs of a kept response. */
interface Validated {
  readonly status: number;
  readonly headers: Headers;
  readonly receivedAtMs: number;
}

const TAG = /(?:W\/)?"[^"]*"/g;

/** Whether the origin has to see it as it is: a part, or a precondition that only the origin can judge (RFC 9110 §13.1). */
export function isForOriginOnly(headers: Headers): boolean {
  return ["range", "if-range", "if-match", "if-unmodified-since", "upgrade"].some((name) =>
    headers.has(name),
  );
}

/**
 * Whether the client has what is kept already, so that 304 is the answer (RFC 9111 §4.3.2). `If-None-Match` is compared
 * weakly, and where it stands `If-Modified-Since` is not looked at.
 */
export function isNotModified(request: Headers, kept: Validated): boolean {
  if (kept.status !== 200 && kept.status !== 203) return false;
  const wanted = request.get("if-none-match");
  if (wanted !== null) {
    const tag = kept.headers.get("etag");
    if (wanted.trim() === "*") return true;
    return tag !== null && (wanted.match(TAG) ?? []).some((one) => opaque(one) === opaque(tag));
  }
  const { receivedAtMs } = kept;
  const sinceMs = parseHttpDate(request.get("if-modified-since"), receivedAtMs);
  if (sinceMs === undefined) return false;
  const date = kept.headers.get("last-modified") ?? kept.headers.get("date");
  return (parseHttpDate(date, receivedAtMs) ?? receivedAtMs) <= sinceMs;
}

/** Whether it can be asked if it has changed. */
export function hasValidator(headers: Headers): boolean {
  return headers.has("etag") || headers.has("last-modified");
}

/** The request's fields, without its own conditions and with those of what is kept (RFC 9111 §4.3.1). */
export function validatingFields(request: Headers, kept: Headers | undefined): Headers {
  const headers = new Headers(request);
  headers.delete("if-none-match");
  headers.delete("if-modified-since");
  const tag = kept?.get("etag");
  const changed = kept?.get("last-modified");
  if (tag) headers.set("if-none-match", tag);
  if (changed) headers.set("if-modified-since", changed);
  return headers;
}

/** Whether a 304 is about what is kept: one with another tag is not (RFC 9111 §4.3.4). */
export function isAbout(fresh: Headers, kept: Headers): boolean {
  const tag = fresh.get("etag");
  const keptTag = kept.get("etag");
  return tag === null || (keptTag !== null && opaque(tag) === opaque(keptTag));
}

function opaque(tag: string): string {
  return tag.trim().replace(/^W\//, "");
}
