// A response as it is kept: plain data, so that any tier can hold it.
import type { Exchange } from "./freshness.ts";

/** Another form is another version; entries of other versions are misses. */
export const STORED_VERSION = 1;

export type Audience = "everybody" | "authorized" | "anonymous";

/** Name in lower case, and value. */
export type HeaderLine = readonly [name: string, value: string];

/** A kept response. Times are wall time and durations in milliseconds. */
export interface StoredResponse extends Exchange {
  readonly version: typeof STORED_VERSION;
  readonly status: number;
  readonly statusText: string;
  readonly headers: readonly HeaderLine[];
  readonly body: Uint8Array;
  /** How old it was when it was received. */
  readonly initialAgeMs: number;
  /** How long it is fresh, from its making on. */
  readonly lifetimeMs: number;
  /** How long after that it may be served while it is validated (RFC 5861 §3). */
  readonly staleWhileRevalidateMs: number;
  /** How long after that it may be served when validating fails (RFC 5861 §4). */
  readonly staleIfErrorMs: number;
  /** `no-cache`: never served without validation. */
  readonly isAlwaysValidated: boolean;
  /** `must-revalidate`, `proxy-revalidate`: never served stale, whoever would take it. */
  readonly isNeverStale: boolean;
  /** `s-maxage`: served stale only if the response itself says how long. */
  readonly isSeldomStale: boolean;
  /**
   * Whom it may be given to: `everybody`, since it says so itself; to all but those who show a cookie or a key, since it says
   * `must-revalidate` (RFC 9111 §3.5); or only to those who show no credentials at all.
   */
  readonly audience: Audience;
  /** Names of the request's fields that it depends on, sorted, in lower case. */
  readonly varyNames: readonly string[];
  /** What those fields were; a digest where they could tell secrets. */
  readonly variant: string;
  /** What it is purged by. */
  readonly tags: readonly string[];
  /** How long it is kept from its receipt on. */
  readonly keptMs: number;
}

/** Whether it is what this version keeps: what another one has left, or what was garbled, is a miss. */
export function isStoredResponse(value: StoredResponse | undefined): value is StoredResponse {
  return (
    typeof value === "object" &&
    value !== null &&
    value.version === STORED_VERSION &&
    value.body instanceof Uint8Array &&
    Array.isArray(value.headers) &&
    Array.isArray(value.varyNames) &&
    typeof value.variant === "string" &&
    Number.isFinite(value.lifetimeMs + value.initialAgeMs + value.receivedAtMs)
  );
}
