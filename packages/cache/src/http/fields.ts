// Fields of messages that a cache takes away, adds, and keeps.
import type { HeaderLine } from "./stored-response.ts";

/** Of one connection, and not of the response (RFC 9110 §7.6.1, RFC 9111 §3.1). */
const OF_THE_CONNECTION = [
  "connection",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authentication-info",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
];

/** They tell of the bytes of a body, which a 304 does not bring (RFC 9111 §3.2). */
const OF_THE_BODY = new Set(["content-length", "content-encoding", "content-type", "content-range"]);

/** Kept fields as those of a message. */
export function headersOf(lines: readonly HeaderLine[]): Headers {
  const headers = new Headers();
  for (const [name, value] of lines) headers.append(name, value);
  return headers;
}

/** Fields that may be kept: none of the connection, no cookies that are set, no age, which is computed anew. */
export function storableLines(headers: Headers): readonly HeaderLine[] {
  const left = new Headers(headers);
  const named = (headers.get("connection") ?? "").split(",").map((name) => name.trim());
  for (const name of [...OF_THE_CONNECTION, ...named, "set-cookie", "set-cookie2", "age", "cache-status"])
    if (/^[!#$%&'*+.^_`|~0-9a-z-]+$/i.test(name)) left.delete(name);
  return [...left];
}

/**
 * The fields of a response as it will be sent on. What `fetch` has got it has decoded too, so that length and coding are no
 * longer those of the body.
 */
export function fieldsAsSent(response: Response): Headers {
  const headers = new Headers(response.headers);
  if (response.url !== "" && response.body !== null && headers.has("content-encoding")) {
    headers.delete("content-encoding");
    headers.delete("content-length");
  }
  return headers;
}

/** The fields of a kept response after a 304 (RFC 9111 §3.2, §4.3.4): the new ones, those of the body aside. */
export function freshenedFields(kept: readonly HeaderLine[], fresh: Headers): Headers {
  const headers = headersOf(kept);
  const isReplaced = (name: string): boolean => !OF_THE_BODY.has(name);
  for (const name of fresh.keys()) if (isReplaced(name)) headers.delete(name);
  for (const [name, value] of fresh) if (isReplaced(name)) headers.append(name, value);
  return headers;
}

/** The fields of a 304 (RFC 9110 §15.4.5): none that tell of a body. */
export function notModifiedFields(headers: Headers): Headers {
  const left = new Headers(headers);
  for (const name of [...OF_THE_BODY, "content-language"]) left.delete(name);
  if (left.has("etag")) left.delete("last-modified");
  return left;
}

/** What `Cache-Status` says of this cache (RFC 9211 §2); the parameters in their order. */
export interface CacheStatus {
  readonly hit?: boolean;
  /** Why it was forwarded. */
  readonly fwd?: "bypass" | "method" | "uri-miss" | "vary-miss" | "request" | "stale";
  /** The status that the origin has answered with. */
  readonly fwdStatus?: number;
  /** Seconds that it is still fresh; below 0 when it is stale. */
  readonly ttl?: number;
  readonly stored?: boolean;
  readonly collapsed?: boolean;
  /** A word of this cache's own. */
  readonly detail?: string | undefined;
}

/** As a member of the field. */
export function cacheStatusText(cache: string, status: CacheStatus): string {
  const parts = [
    status.hit === true ? "hit" : undefined,
    status.fwd === undefined ? undefined : `fwd=${status.fwd}`,
    status.fwdStatus === undefined ? undefined : `fwd-status=${status.fwdStatus}`,
    status.ttl === undefined ? undefined : `ttl=${status.ttl}`,
    status.stored === true ? "stored" : undefined,
    status.collapsed === true ? "collapsed" : undefined,
    status.detail === undefined ? undefined : `detail=${status.detail}`,
  ];
  return [cache, ...parts.filter((part) => part !== undefined)].join("; ");
}
