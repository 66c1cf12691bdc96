// Whether a request comes from a page of its own host: browsers let any page send one.
import { optionsOf } from "@holdfast/core";

/** Origins beside the host's own that may send requests, such as `["https://app.example"]`, or all. */
export type AllowedOrigins = readonly string[] | "any";

/**
 * Whether an upgrade may be taken: its origin is listed, or it is the host's own, or there is none (not a browser).
 */
export function isAllowedOrigin(
  headers: { readonly origin?: string | undefined; readonly host?: string | undefined },
  allowed: AllowedOrigins = [],
): boolean {
  const { origin, host } = headers;
  if (origin === undefined || allowed === "any" || allowed.includes(origin)) return true;
  return URL.canParse(origin) && new URL(origin).host === host;
}

/** @throws InvalidOptionError for what browsers never send as an origin. */
export function originsOf(owner: string, origins: AllowedOrigins | undefined): AllowedOrigins {
  if (origins === undefined || origins === "any") return origins ?? [];
  const isOrigin = (one: unknown): boolean =>
    typeof one === "string" && URL.canParse(one) && new URL(one).origin === one;
  if (!Array.isArray(origins) || !origins.every(isOrigin))
    optionsOf(owner).refuse("origins", origins, 'a list of origins such as "https://app.example", or "any"');
  return origins;
}
