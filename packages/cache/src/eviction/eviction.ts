// What a cache is told to decide by which entries memory keeps.
import { lruTable } from "./lru-table.ts";
import type { EntryTable, TableBounds } from "./table.ts";
import { tinyLfuTable } from "./tiny-lfu-table.ts";

/** Made by {@link lru} or {@link wTinyLfu}. */
export interface Eviction {
  readonly kind: string;
  readonly table: <Entry extends object>(bounds: TableBounds) => EntryTable<Entry>;
}

/** The least recently used goes first (`lru-cache`): the fastest, and the best where what was just used is used again soon. */
export function lru(): Eviction {
  return { kind: "lru", table: lruTable };
}

/**
 * W-TinyLFU (Einziger, Friedman and Manes, 2017): who is let in has to have been asked for more often than who goes for it.
 * Withstands scans, loops and keys that are asked for once; about half as fast as {@link lru}. Measured in
 * docs/cache-hit-rates.md.
 *
 * @example
 * ```ts
 * import { createCache, wTinyLfu } from "@holdfast/cache";
 *
 * const pages = createCache<string, string>({ eviction: wTinyLfu(), maxEntries: 1_000 });
 * await pages.set("/", "home");
 * await pages.get("/"); // => "home"
 * ```
 */
export function wTinyLfu(): Eviction {
  return { kind: "w-tinylfu", table: tinyLfuTable };
}
