// Names of keys that belong together, so that a Cluster keeps them on one node.
import { optionsOf } from "../options.ts";

/**
 * A prefix for keys. It may hold no braces: a Cluster places a key by what stands in the first pair of them, and
 * that is the {@link hashTagOf} which we put behind it.
 *
 * @throws InvalidOptionError when it is empty, longer than 100 characters or has braces.
 */
export function keyPrefix(owner: string, prefix: string | undefined, fallback: string): string {
  const check = optionsOf(owner);
  const text = check.string("prefix", prefix, 100, fallback);
  if (/[{}]/.test(text)) check.refuse("prefix", prefix, "text without { and }");
  return text;
}

/**
 * One of `count` hash tags, always the same for the same text: keys with the same tag are on the same node, and
 * keys of different tags spread over the nodes. FNV-1a (Fowler, Noll, Vo) over UTF-16 code units.
 *
 * @example
 * ```ts
 * import { hashTagOf } from "@holdfast/core/redis";
 *
 * hashTagOf("order-1", 64) === hashTagOf("order-1", 64); // => true
 * ```
 */
export function hashTagOf(text: string, count: number): string {
  let hash = 0x811c9dc5;
  for (let index = 0; index < text.length; index += 1)
    hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  return `{${(hash >>> 0) % count}}`;
}
