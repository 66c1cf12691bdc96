// Makes caches.
import type { Cache, Cacheable, CacheKey, CacheOptions } from "./contract.ts";
import { LocalCache } from "./local/local-cache.ts";
import { settingsOf } from "./settings.ts";

/**
 * A cache. Whoever asks for what is not there waits for one loader; an invalidation always wins: what was loaded before it
 * is neither kept nor given to anybody who asks after it. In this process, or with `share` in a fleet of them.
 *
 * @throws InvalidOptionError when an option is out of range.
 *
 * @example
 * ```ts
 * import { createCache } from "@holdfast/cache";
 *
 * let asked = 0;
 * const users = createCache({
 *   load: async (id: string) => ({ id, asked: (asked += 1) }),
 *   ttl: "5m",
 *   tags: (user) => [`user:${user.id}`],
 * });
 * await Promise.all([users.get("42"), users.get("42")]);
 * asked; // => 1
 * await users.invalidateTag("user:42");
 * await users.get("42"); // => { id: "42", asked: 2 }
 * ```
 */
export function createCache<Key extends CacheKey, Value extends Cacheable>(
  options: CacheOptions<Key, Value>,
): Cache<Key, Value> {
  const settings = settingsOf(options);
  return options.share?.open(options) ?? new LocalCache(options, settings);
}
