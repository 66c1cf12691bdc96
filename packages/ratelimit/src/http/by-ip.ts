// By the client's address, as far as it can be trusted.
import { optionsOf, remoteAddressOf } from "@holdfast/core";
import type { IpAddress } from "./ip-address.ts";
import { ipKey, isWithin, parseIp, parseRange } from "./ip-address.ts";
import type { KeyedRequest, RequestKey } from "./request-keys.ts";

export interface ByIpOptions {
  /**
   * Addresses and networks (`10.0.0.0/8`) of the proxies in front of this server. Only what they say about the client is
   * believed. @defaultValue none: the address at the other end of the connection
   */
  readonly trustedProxies?: readonly string[];
  /** Where they say it. @defaultValue "x-forwarded-for" */
  readonly header?: "x-forwarded-for" | "forwarded";
  /**
   * Bits of an IPv6 address that count: a client has a whole network of them, and can take another address for each
   * request. 32 to 128. @defaultValue 64
   */
  readonly ipv6Prefix?: number;
  /** The address at the other end of the connection. @defaultValue remoteAddressOf: as the server has noted it */
  readonly address?: (request: KeyedRequest) => string | undefined;
}

/** The defaults of `byIp`. */
export const BY_IP_DEFAULTS: { readonly ipv6Prefix: number } = { ipv6Prefix: 64 };

/** Hops that are looked at. */
const MAX_HOPS = 32;

/**
 * By the client's address: IPv4, IPv4 in IPv6 in any notation, and IPv6 by network. Behind proxies it is the last address
 * that no trusted proxy has; what stands before it anybody could have written.
 *
 * @throws InvalidOptionError when an option is out of range, or a proxy is no address or network.
 *
 * @example
 * ```ts
 * import { withRemoteAddress } from "@holdfast/core";
 * import { byIp } from "@holdfast/ratelimit/http";
 *
 * const key = byIp({ trustedProxies: ["10.0.0.0/8"] });
 * const headers = { "x-forwarded-for": "6.6.6.6, 192.0.2.7, 10.0.0.2" };
 * key(withRemoteAddress(new Request("http://localhost/", { headers }), "10.0.0.1")); // => "192.0.2.7"
 * ```
 */
export function byIp(options: ByIpOptions = {}): RequestKey {
  const check = optionsOf("byIp");
  const header = check.oneOf("header", options.header, ["x-forwarded-for", "forwarded"], "x-forwarded-for");
  const range = { min: 32, max: 128 };
  const prefix = check.integer("ipv6Prefix", options.ipv6Prefix, range, BY_IP_DEFAULTS.ipv6Prefix);
  const addressOf = check.function("address", options.address) ?? remoteAddressOf;
  const proxies = (options.trustedProxies ?? []).map(
    (text) =>
      parseRange(text) ?? check.refuse("trustedProxies", text, "an address or a network such as 10.0.0.0/8"),
  );
  const isTrusted = (address: IpAddress): boolean => proxies.some((proxy) => isWithin(address, proxy));

  return (request) => {
    const peer = parseIp(addressOf(request) ?? "");
    if (peer === undefined) return undefined;
    let client = peer;
    // From the nearest on: each is the word of the one before it.
    for (const hop of hopsOf(request.headers.get(header), header)) {
      if (!isTrusted(client)) break;
      const address = parseIp(hop);
      if (address === undefined) break;
      client = address;
    }
    return ipKey(client, prefix);
  };
}

/** Addresses of a header, the nearest first. Several headers of the name count as one (RFC 9110 §5.3). */
function hopsOf(value: string | null, header: "x-forwarded-for" | "forwarded"): readonly string[] {
  if (value === null) return [];
  const elements = value.split(",").slice(-MAX_HOPS).toReversed();
  return elements.map((element) => withoutPort(header === "forwarded" ? forOf(element) : element.trim()));
}

/** The `for` of an element of `Forwarded` (RFC 7239 §4). */
function forOf(element: string): string {
  for (const pair of element.split(";")) {
    const [name = "", value = ""] = pair.split("=");
    if (name.trim().toLowerCase() === "for") return value.trim().replace(/^"(.*)"$/, "$1");
  }
  return "";
}

/** `192.0.2.7:4711` and `[2001:db8::1]:4711` without their ports. */
function withoutPort(text: string): string {
  const bracketed = /^\[([^\]]*)\](?::\d+)?$/.exec(text);
  if (bracketed !== null) return bracketed[1]!;
  return /^[^:]+:\d+$/.test(text) ? text.slice(0, text.indexOf(":")) : text;
}
