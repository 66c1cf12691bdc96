// Whom a request counts against: its key, its user, its address, or several of them together.
import { optionsOf } from "@holdfast/core";

/** What keys are read from: a Fetch `Request`, or as much of another framework's. */
export interface KeyedRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: { get(name: string): string | null };
}

/** A key of a request; undefined where it has none. */
export type RequestKey = (request: KeyedRequest) => string | undefined | Promise<string | undefined>;

/** Longer keys are digested: a store takes up to 512 characters. */
const MAX_PLAIN_LENGTH = 256;

/**
 * By a header, such as an API key. Whoever makes keys up gets a count for each: authenticate first, or limit by address as
 * well.
 *
 * @throws InvalidOptionError for a name that is none.
 *
 * @example
 * ```ts
 * import { byHeader } from "@holdfast/ratelimit/http";
 *
 * const request = new Request("http://localhost/", { headers: { "x-api-key": "k-1" } });
 * byHeader("x-api-key")(request); // => "k-1"
 * ```
 */
export function byHeader(name: string): RequestKey {
  if (!/^[!#$%&'*+.^_`|~\w-]+$/.test(name))
    optionsOf("byHeader").refuse("name", name, "the name of a header");
  return (request) => request.headers.get(name) ?? undefined;
}

/**
 * By several together: another count for each combination. Without one of them there is none.
 *
 * @example
 * ```ts
 * import { byAll, byHeader } from "@holdfast/ratelimit/http";
 *
 * const request = new Request("http://localhost/", { headers: { "x-tenant": "a", "x-user": "b:c" } });
 * await byAll(byHeader("x-tenant"), byHeader("x-user"))(request); // => '["a","b:c"]'
 * ```
 */
export function byAll(...keys: readonly RequestKey[]): RequestKey {
  return async (request) => {
    const parts: (string | undefined)[] = [];
    for (const key of keys) parts.push(await key(request));
    // As JSON no two combinations are the same text.
    return parts.includes(undefined) ? undefined : JSON.stringify(parts);
  };
}

/** A key that every store takes: a long one by its SHA-256. */
export async function storableKey(key: string): Promise<string> {
  if (key.length <= MAX_PLAIN_LENGTH) return key;
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(key));
  return `sha256:${[...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}
