// What a cache of responses can be told, what it does, and what it publishes.
import type { Clock, Duration, Middleware } from "@holdfast/core";
import type { CacheOptions } from "../contract.ts";
import type { QueryRule } from "./address.ts";
import type { StoredResponse } from "./stored-response.ts";

/** What responses are kept in: a cache of `createCache`. */
export interface HttpCacheStore {
  get(key: string): Promise<StoredResponse | undefined>;
  refresh(key: string): Promise<StoredResponse | undefined>;
  invalidateTag(tag: string): unknown;
  clear(): unknown;
  close(): Promise<void>;
}

/** What a cache for responses has to be made with; more can be added, these must stay as they are. */
export type HttpCacheNeeds = CacheOptions<string, StoredResponse> &
  Required<
    Pick<
      CacheOptions<string, StoredResponse>,
      "name" | "load" | "ttl" | "jitter" | "tags" | "sizeOf" | "clock"
    >
  >;

export interface HttpCacheOptions {
  /** For `Cache-Status` and events: a token (RFC 9110 §5.6.2) that begins with a letter. @defaultValue "holdfast" */
  readonly name?: string;
  /**
   * Makes the cache that responses are kept in, for other bounds or more tiers: `(needs) => createCache({ ...needs, … })`.
   * @defaultValue one in memory, of at most 10,000 responses and 64 MiB
   */
  readonly cache?: (needs: HttpCacheNeeds) => HttpCacheStore;
  /** Longest body that is kept, in bytes; longer ones pass through as they come. @defaultValue 1_048_576 */
  readonly maxBodyBytes?: number;
  /**
   * Which share of the time since `Last-Modified` a response is taken as fresh that does not say how long it is
   * (RFC 9111 §4.2.2). 0 to 1; at most a day. @defaultValue 0: such responses are not kept
   */
  readonly heuristicFreshness?: number;
  /**
   * Fields of requests that tell who asks, besides `Authorization`, `Proxy-Authorization`, `Cookie` and `X-API-Key`: the key of an
   * API, an identity that a gateway has added. @defaultValue none
   */
  readonly credentials?: readonly string[];
  /**
   * What becomes of responses that set cookies: `"refuse"`: not kept; `"strip"`: kept without the cookies, which only whoever
   * caused them is given. @defaultValue "refuse"
   */
  readonly setCookie?: "refuse" | "strip";
  /** Fields of requests that are part of every key, such as one for the tenant. No credentials. At most 10. @defaultValue none */
  readonly keyHeaders?: readonly string[];
  /** Which parameters of the query are part of the key. @defaultValue all, as they stand */
  readonly query?: QueryRule;
  /** Most responses to one address that `Vary` tells apart, about. 1 to 10,000. @defaultValue 64 */
  readonly maxVariants?: number;
  /** How long a request waits for another that asks the same, before it is forwarded itself. @defaultValue "5s" */
  readonly collapseFor?: Duration;
  /** How long a response that can be validated is kept after its time. @defaultValue "1h" */
  readonly keepStale?: Duration;
  /** Whether answers say in `Cache-Status` (RFC 9211) what was done. @defaultValue true */
  readonly cacheStatus?: boolean;
  /** Told of what fails in the background, where no client is. What it throws changes nothing. */
  readonly onError?: (error: Error) => void;
  /** @defaultValue systemClock */
  readonly clock?: Clock;
}

/** A shared cache of responses. */
export interface HttpCache {
  readonly name: string;
  /** Goes around the handler that answers: a bound function. */
  readonly middleware: Middleware;
  /**
   * Forgets everything kept from an address, all variants of it. A response that is under way is not kept either. The query
   * counts as `query` says.
   *
   * @throws InvalidOptionError for what is no address.
   */
  purge(url: string | URL): Promise<void>;
  /** Forgets everything whose `Surrogate-Key` or `Cache-Tag` has the word. */
  purgeTag(tag: string): Promise<void>;
  /** Forgets everything. */
  purgeAll(): Promise<void>;
  /** Ends what runs in the background, and the cache. Requests after it are forwarded. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** Published as `holdfast:cache:http` when a request has been answered. Neither address nor fields are part of it. */
export interface HttpCacheEvent {
  readonly cache: string;
  readonly result: "hit" | "stale" | "validated" | "miss" | "bypass" | "refused";
  readonly status: number;
  readonly stored: boolean;
  readonly collapsed: boolean;
  readonly detail?: string;
}
