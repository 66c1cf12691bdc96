// A request, as far as a cache has to know it.
import type { Directives } from "./cache-control.ts";
import { directivesOf } from "./cache-control.ts";
import { addressTag, keyOf, normalisedUrl } from "./address.ts";
import type { HttpCacheSettings } from "./settings.ts";
import type { StoredResponse } from "./stored-response.ts";

/** Who asks, for what, and how fresh. */
export interface Asker {
  readonly request: Request;
  readonly headers: Headers;
  readonly directives: Directives;
  /** It has an `Authorization` field. */
  readonly isAuthorized: boolean;
  /** It has another field that says who asks: a cookie, a key of an API. */
  readonly isKnown: boolean;
  /** Of its address; variants have others. */
  readonly key: string;
  /** What everything from its address is tagged with. */
  readonly addressTag: string;
}

export async function askerOf(request: Request, settings: HttpCacheSettings): Promise<Asker> {
  const { headers } = request;
  const address = normalisedUrl(request.url, settings.query);
  const credentials = [...settings.credentials].filter((name) => headers.has(name));
  const field = headers.get("cache-control");
  // Clients of HTTP/1.0 have no other word (RFC 9111 §5.4).
  const isPragma = field === null && /(?:^|[\s,])no-cache(?:[\s,]|$)/i.test(headers.get("pragma") ?? "");
  return {
    request,
    headers,
    directives: directivesOf(isPragma ? "no-cache" : field),
    isAuthorized: headers.has("authorization"),
    isKnown: credentials.some((name) => name !== "authorization"),
    key: await keyOf(address, settings.keyHeaders, headers),
    addressTag: await addressTag(address),
  };
}

/** Whether it may be given what is kept (RFC 9111 §3.5, and the same for cookies and keys). */
export function isFor({ isKnown, isAuthorized }: Asker, { audience }: StoredResponse): boolean {
  if (audience === "everybody") return true;
  return !isKnown && (!isAuthorized || audience === "authorized");
}
