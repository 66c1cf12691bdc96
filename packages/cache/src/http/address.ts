// The key of a request, and the tags that kept responses are purged by.
import { digestOf } from "./digest.ts";

/** Which parameters of a query count, and whether their order does. */
export interface QueryRule {
  /** Only these. @defaultValue all */
  readonly include?: readonly string[];
  /** All but these, such as `utm_source`. */
  readonly exclude?: readonly string[];
  /** Whether the order of parameters does not matter. @defaultValue false */
  readonly sort?: boolean;
}

/** Longest address that is its own key, and tag. */
const MAX_PLAIN = 240;

/** Most tags of one response, and longest: a response with more, or longer, is not kept, since it could not be purged. */
const MAX_TAGS = 90;
const MAX_TAG = 240;

/**
 * An address, so that two that are the same by RFC 3986 §6.2 are the same text: host in lower case, no default port, no
 * fragment, dots resolved, escapes in capitals and only where they are needed.
 *
 * @throws TypeError for what is no address.
 */
export function normalisedUrl(url: string, rule: QueryRule = {}): string {
  const { origin, pathname, search } = new URL(url);
  return origin + unescaped(pathname) + unescaped(queryOf(search, rule));
}

/** What everything kept from an address is tagged with. */
export async function addressTag(address: string): Promise<string> {
  return `u:${address.length <= MAX_PLAIN ? address : await digestOf(address)}`;
}

/** The key of an address, and of what else the answer is keyed by. */
export async function keyOf(address: string, names: readonly string[], request: Headers): Promise<string> {
  const text =
    names.length === 0 ? address : `${address} ${JSON.stringify(names.map((name) => request.get(name)))}`;
  return `GET ${text.length <= 4 * MAX_PLAIN ? text : await digestOf(text)}`;
}

/** The tag of a word of `Surrogate-Key` or `Cache-Tag`. */
export function wordTag(word: string): string {
  return `t:${word}`;
}

/** The words of `Surrogate-Key` (between spaces) and `Cache-Tag` (between commas); `undefined` if they are too many or too long. */
export function wordsOf(headers: Headers): readonly string[] | undefined {
  const spaced = (headers.get("surrogate-key") ?? "").split(/[\s,]+/);
  const listed = (headers.get("cache-tag") ?? "").split(",").map((word) => word.trim());
  const words = [...new Set([...spaced, ...listed])].filter((word) => word !== "");
  return words.length <= MAX_TAGS && words.every((word) => word.length <= MAX_TAG) ? words : undefined;
}

function queryOf(search: string, { include, exclude, sort = false }: QueryRule): string {
  if (search.length <= 1) return "";
  if (include === undefined && exclude === undefined && !sort) return search;
  const parts = search
    .slice(1)
    .split("&")
    .filter((part) => part !== "")
    .filter((part) => {
      const name = nameOf(part);
      return (include?.includes(name) ?? true) && exclude?.includes(name) !== true;
    });
  // Of one name the order is kept: it may mean something.
  if (sort) parts.sort((one, other) => compare(nameOf(one), nameOf(other)));
  return parts.length === 0 ? "" : `?${parts.join("&")}`;
}

function nameOf(part: string): string {
  const [name = ""] = new URLSearchParams(part).keys();
  return name;
}

function compare(one: string, other: string): number {
  return one < other ? -1 : one > other ? 1 : 0;
}

/** RFC 3986 §6.2.2: escapes in capitals, and none for what needs none. */
function unescaped(text: string): string {
  return text.replace(/%[0-9a-f]{2}/gi, (escape) => {
    const character = String.fromCharCode(Number.parseInt(escape.slice(1), 16));
    return /[a-z0-9\-._~]/i.test(character) ? character : escape.toUpperCase();
  });
}
