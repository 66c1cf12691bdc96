// Tables by the names of their evictions.
import { lru, wTinyLfu } from "@holdfast/cache";
import type { EntryTable, TableBounds } from "../src/eviction/table.ts";

export type EvictionName = "lru" | "w-tinylfu";

export function entryTable<Entry extends object>({
  eviction,
  ...bounds
}: TableBounds & { readonly eviction: EvictionName }): EntryTable<Entry> {
  return (eviction === "lru" ? lru() : wTinyLfu()).table(bounds);
}
