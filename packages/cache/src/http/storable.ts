// Whether a response may be kept for others, and as what.
import type { Directives } from "./cache-control.ts";
import { directivesOf, msOf } from "./cache-control.ts";
import { wordsOf, wordTag } from "./address.ts";
import type { Asker } from "./asker.ts";
import { hasValidator } from "./conditional.ts";
import { storableLines } from "./fields.ts";
import type { Exchange } from "./freshness.ts";
import { explicitLifetimeMs, heuristicLifetimeMs, initialAgeMs } from "./freshness.ts";
import { formatHttpDate } from "./http-date.ts";
import type { HttpCacheSettings } from "./settings.ts";
import type { StoredResponse } from "./stored-response.ts";
import { STORED_VERSION } from "./stored-response.ts";
import { variantOf, varyNamesOf } from "./vary.ts";

/** Statuses that are understood well enough to be kept (RFC 9111 §3). Parts (206) are not put together here. */
const STATUSES = new Set([200, 203, 204, 300, 301, 302, 303, 307, 308, 404, 405, 410, 414, 501]);

/** Longest time that anything is kept: a year. */
const MAX_KEPT_MS = 365 * 86_400_000;

/** Why a response is not kept; for `detail` of `Cache-Status`. */
export type Refusal =
  | "no-store"
  | "private"
  | "set-cookie"
  | "credentials"
  | "vary"
  | "status"
  | "no-expiry"
  | "tags"
  | "too-large";

/** All of a response but its body. */
export interface ResponseHead {
  readonly status: number;
  readonly statusText: string;
  readonly headers: Headers;
}

/** A response as it would be kept, its body aside. */
export type Unfilled = Omit<StoredResponse, "body">;

/**
 * What would be kept of a response, or why it is not (RFC 9111 §3). A qualified `private` or `no-cache` counts as one without
 * names. What does not say how long it is fresh, nor that it is `public`, is not kept.
 */
export async function storableAs(
  { status, statusText, headers }: ResponseHead,
  asker: Asker,
  exchange: Exchange,
  settings: HttpCacheSettings,
): Promise<Unfilled | Refusal> {
  const directives = directivesOf(headers.get("cache-control"));
  const refusal = refusalOf(status, headers, directives, asker, settings);
  if (refusal !== undefined) return refusal;
  const varyNames = varyNamesOf(headers.get("vary"));
  const words = wordsOf(headers);
  if (varyNames === undefined) return "vary";
  // What could not be purged is not kept.
  if (words === undefined) return "tags";
  const { receivedAtMs } = exchange;
  const fields = { status, headers, directives };
  const toldMs = explicitLifetimeMs(fields, receivedAtMs);
  const guessedMs = heuristicLifetimeMs(fields, receivedAtMs, settings.heuristicShare);
  const isTold = toldMs !== undefined || directives.has("public") || directives.has("no-cache");
  if (!isTold && guessedMs === 0) return "no-expiry";

  const lifetimeMs = toldMs ?? guessedMs;
  const initialMs = initialAgeMs(headers, exchange);
  const isAlwaysValidated = directives.has("no-cache");
  const staleWhileRevalidateMs = msOf(directives, "stale-while-revalidate", 0) ?? 0;
  const staleIfErrorMs = msOf(directives, "stale-if-error", 0) ?? 0;
  const staleMs = Math.max(
    staleWhileRevalidateMs,
    staleIfErrorMs,
    hasValidator(headers) ? settings.keepStaleMs : 0,
  );
  const leftMs = isAlwaysValidated ? 0 : Math.max(0, lifetimeMs - initialMs);
  const keptMs = Math.min(MAX_KEPT_MS, leftMs + staleMs);
  if (keptMs === 0) return "no-expiry";
  return {
    version: STORED_VERSION,
    status,
    statusText,
    headers: storableLines(dated(headers, receivedAtMs)),
    ...exchange,
    initialAgeMs: initialMs,
    lifetimeMs,
    staleWhileRevalidateMs,
    staleIfErrorMs,
    isAlwaysValidated,
    isNeverStale: directives.has("must-revalidate") || directives.has("proxy-revalidate"),
    isSeldomStale: directives.has("s-maxage"),
    audience: isForEverybody(directives)
      ? "everybody"
      : directives.has("must-revalidate")
        ? "authorized"
        : "anonymous",
    varyNames,
    variant: await variantOf(varyNames, asker.headers, settings.credentials),
    tags: [asker.addressTag, ...words.map(wordTag)],
    keptMs,
  };
}

function refusalOf(
  status: number,
  headers: Headers,
  directives: Directives,
  asker: Asker,
  settings: HttpCacheSettings,
): Refusal | undefined {
  // §5.2.1.5, §5.2.2.5
  if (asker.directives.has("no-store") || directives.has("no-store")) return "no-store";
  // §5.2.2.7
  if (directives.has("private")) return "private";
  if (headers.has("set-cookie") && settings.setCookie === "refuse") return "set-cookie";
  // §3.5; of what else tells who asks nothing is said there, and `must-revalidate` is no word about it.
  if (asker.isKnown && !isForEverybody(directives)) return "credentials";
  if (asker.isAuthorized && !isForEverybody(directives) && !directives.has("must-revalidate"))
    return "credentials";
  return STATUSES.has(status) ? undefined : "status";
}

/** It says that it is for whoever asks, also when credentials were shown. */
function isForEverybody(directives: Directives): boolean {
  return directives.has("public") || directives.has("s-maxage");
}

/** RFC 9110 §6.6.1: what has no date is dated when it is received. */
function dated(headers: Headers, receivedAtMs: number): Headers {
  if (headers.has("date")) return headers;
  const copy = new Headers(headers);
  copy.set("date", formatHttpDate(receivedAtMs));
  return copy;
}
