// Who may look, who may change, and that a change was meant by whoever sits before the page.
import { optionsOf, remoteAddressOf, RequestError } from "@holdfast/core";

/** `true`: may look and change. `{ readOnly: true }`: may look. A `Response`, such as a redirect to a login, is sent. */
export type DashboardAccess = boolean | { readonly readOnly: true } | Response;

export type Authorize = (request: Request) => DashboardAccess | Promise<DashboardAccess>;

/** What a request may do, or what it is answered instead. */
export type Verdict = { readonly readOnly: boolean } | Response;

const LOOPBACK_ADDRESS = /^(?:127\.|::1$|::ffff:127\.)/;
const LOOPBACK_HOST = /^(?:localhost|.+\.localhost|127(?:\.\d{1,3}){3}|\[::1\])$/;
/** What proxies add: behind one of this machine, everybody comes from a loopback address. */
const FORWARDED = ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via"];

/** @throws InvalidOptionError when nothing was said: a dashboard is open to nobody by accident. */
export function accessOf(
  authorize: Authorize | "loopback-only" | undefined,
  readOnly: boolean,
): (request: Request) => Promise<Verdict> {
  const decide = authorize === "loopback-only" ? isOfThisMachine : authorize;
  if (typeof decide !== "function")
    return optionsOf("queueDashboard").refuse(
      "authorize",
      authorize,
      'a function that says who may come in, or "loopback-only"',
    );
  return async (request) => {
    const access = await decide(request);
    if (access instanceof Response) return access;
    if (access === true) return { readOnly };
    // Whatever else a function without types may answer lets nobody in.
    const given: unknown = access;
    if (typeof given === "object" && given !== null && "readOnly" in given && given.readOnly === true)
      return { readOnly: true };
    throw new RequestError(403, "FORBIDDEN", "you may not look at these queues");
  };
}

/**
 * Refuses a change that another site's page could have sent: browsers say where a POST comes from.
 *
 * @throws RequestError 403
 */
export function assertOwnPage({ headers, url }: Request, allowedOrigins: readonly string[]): void {
  const site = headers.get("sec-fetch-site");
  const origin = headers.get("origin");
  const host = headers.get("host") ?? new URL(url).host;
  const isListed = origin !== null && allowedOrigins.includes(origin);
  const isOwn = origin !== null && URL.canParse(origin) && new URL(origin).host === host;
  if ((isOwn || isListed) && (site === null || site === "same-origin")) return;
  throw new RequestError(
    403,
    "FOREIGN_ORIGIN",
    "changes are taken from the dashboard's own page only: its Origin must be that of the request",
  );
}

/** From this machine, by a name of this machine: a page of a site whose name leads here has that site's name. */
function isOfThisMachine(request: Request): boolean {
  const address = remoteAddressOf(request) ?? "";
  const host = (request.headers.get("host") ?? new URL(request.url).host).replace(/:\d+$/, "");
  return (
    LOOPBACK_ADDRESS.test(address) &&
    LOOPBACK_HOST.test(host) &&
    !FORWARDED.some((name) => request.headers.has(name))
  );
}
