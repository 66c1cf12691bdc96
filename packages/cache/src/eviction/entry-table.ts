// Makes the table that an option asks for.
import { lruTable } from "./lru-table.ts";
import type { EntryTable, EntryTableOptions } from "./table.ts";
import { tinyLfuTable } from "./tiny-lfu-table.ts";

export type { Eviction } from "./table.ts";

/** A table with the eviction that is asked for. The options are taken as checked. */
export function entryTable<Entry extends object>(options: EntryTableOptions): EntryTable<Entry> {
  return options.eviction === "lru" ? lruTable(options) : tinyLfuTable(options);
}
