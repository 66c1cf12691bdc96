// Who is at the other end of the connection: the Fetch standard has no place for it.

/** Shared by all copies of this package in one process. */
const KEY = Symbol.for("holdfast.remote-address");

/**
 * Notes on a request which address it came from. Servers do; `serve` and `nodeHandler` of `@holdfast/core/node` have
 * done.
 */
export function withRemoteAddress<R extends object>(request: R, address: string | undefined): R {
  if (address !== undefined) Object.defineProperty(request, KEY, { value: address, configurable: true });
  return request;
}

/**
 * The address at the other end of the connection, where the server has noted it: of the client or of the last proxy. A
 * request that was made from another one does not have it.
 *
 * @example
 * ```ts
 * import { remoteAddressOf, withRemoteAddress } from "@holdfast/core";
 *
 * remoteAddressOf(withRemoteAddress(new Request("http://localhost/"), "192.0.2.7")); // => "192.0.2.7"
 * ```
 */
export function remoteAddressOf(request: object): string | undefined {
  return (request as { readonly [KEY]?: string })[KEY];
}
