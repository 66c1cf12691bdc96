// Options of a cache of responses, checked.
import type { Clock } from "@holdfast/core";
import { optionsOf, systemClock } from "@holdfast/core";
import type { QueryRule } from "./address.ts";
import type { HttpCacheOptions } from "./contract.ts";

/** The defaults of `httpCache`. */
export const HTTP_CACHE_DEFAULTS: {
  readonly name: string;
  readonly maxEntries: number;
  readonly maxBytes: number;
  readonly maxBodyBytes: number;
  readonly maxVariants: number;
  readonly collapseForMs: number;
  readonly keepStaleMs: number;
} = {
  name: "holdfast",
  maxEntries: 10_000,
  maxBytes: 67_108_864,
  maxBodyBytes: 1_048_576,
  maxVariants: 64,
  collapseForMs: 5_000,
  keepStaleMs: 3_600_000,
};

/** Times in milliseconds. */
export interface HttpCacheSettings {
  readonly name: string;
  readonly maxBodyBytes: number;
  readonly heuristicShare: number;
  /** In lower case. */
  readonly credentials: ReadonlySet<string>;
  readonly setCookie: "refuse" | "strip";
  /** In lower case, sorted. */
  readonly keyHeaders: readonly string[];
  readonly query: QueryRule;
  readonly maxVariants: number;
  readonly collapseForMs: number;
  readonly keepStaleMs: number;
  readonly cacheStatus: boolean;
  readonly onError: ((error: Error) => void) | undefined;
  readonly clock: Clock;
}

const CREDENTIALS = ["authorization", "proxy-authorization", "cookie", "x-api-key"];

const TOKEN = /^[!#$%&'*+.^_`|~0-9a-z-]+$/i;

/** @throws InvalidOptionError */
export function httpSettingsOf(options: HttpCacheOptions): HttpCacheSettings {
  const check = optionsOf("httpCache");
  check.object("options", options);
  const defaults = HTTP_CACHE_DEFAULTS;
  const name = check.string("name", options.name, 100, defaults.name);
  if (!/^[a-z][!#$%&'*+.^_`|~0-9a-z-]*$/i.test(name))
    check.refuse("name", name, "a token that begins with a letter");
  check.function("cache", options.cache);
  const namesOf = (option: "credentials" | "keyHeaders", most: number): readonly string[] => {
    const names = options[option] ?? [];
    if (!Array.isArray(names) || names.length > most || !names.every((one) => TOKEN.test(String(one))))
      check.refuse(option, names, `a list of at most ${most} names of fields`);
    return [...new Set(names.map((one: string) => one.toLowerCase()))].sort();
  };
  const credentials = new Set([...CREDENTIALS, ...namesOf("credentials", 100)]);
  const keyHeaders = namesOf("keyHeaders", 10);
  const secret = keyHeaders.find((one) => credentials.has(one));
  if (secret !== undefined)
    check.refuse("keyHeaders", secret, "a field that is no credential: keys are kept as they are");
  return {
    name,
    maxBodyBytes: check.integer(
      "maxBodyBytes",
      options.maxBodyBytes,
      { min: 0, max: 2 ** 30 },
      defaults.maxBodyBytes,
    ),
    heuristicShare: check.number("heuristicFreshness", options.heuristicFreshness, { min: 0, max: 1 }, 0),
    credentials,
    setCookie: check.oneOf("setCookie", options.setCookie, ["refuse", "strip"], "refuse"),
    keyHeaders,
    query: queryRuleOf(options.query),
    maxVariants: check.integer(
      "maxVariants",
      options.maxVariants,
      { min: 1, max: 10_000 },
      defaults.maxVariants,
    ),
    collapseForMs: check.duration("collapseFor", options.collapseFor, {}, defaults.collapseForMs),
    keepStaleMs: check.duration("keepStale", options.keepStale, {}, defaults.keepStaleMs),
    cacheStatus: check.boolean("cacheStatus", options.cacheStatus, true),
    onError: check.function("onError", options.onError),
    clock: options.clock ?? systemClock,
  };
}

function queryRuleOf(rule: QueryRule | undefined): QueryRule {
  const check = optionsOf("httpCache");
  const { include, exclude, sort } = check.object("query", rule ?? {});
  for (const [option, names] of Object.entries({ include, exclude }))
    if (names !== undefined && (!Array.isArray(names) || !names.every((name) => typeof name === "string")))
      check.refuse(`query.${option}`, names, "a list of names of parameters");
  return {
    ...(include === undefined ? {} : { include: [...include] }),
    ...(exclude === undefined ? {} : { exclude: [...exclude] }),
    sort: check.boolean("query.sort", sort, false),
  };
}
