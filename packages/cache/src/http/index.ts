// @holdfast/cache/http: a shared cache of responses, as Fetch middleware.
export { httpCache } from "./http-cache.ts";
export { HTTP_CACHE_DEFAULTS } from "./settings.ts";
export type { QueryRule } from "./address.ts";
export type {
  HttpCache,
  HttpCacheEvent,
  HttpCacheNeeds,
  HttpCacheOptions,
  HttpCacheStore,
} from "./contract.ts";
export type { Audience, HeaderLine, StoredResponse } from "./stored-response.ts";
