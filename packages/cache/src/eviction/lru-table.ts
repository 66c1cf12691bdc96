// The least recently used goes first.
import { LRUCache } from "lru-cache";
import type { EntryTable, TableBounds } from "./table.ts";

type Bounds = Pick<TableBounds, "maxEntries" | "maxBytes">;

/** A table over `lru-cache`. */
export function lruTable<Entry extends object>(bounds: Bounds): EntryTable<Entry> {
  return new LruTable(bounds);
}

class LruTable<Entry extends object> implements EntryTable<Entry> {
  readonly #entries: LRUCache<string, Entry>;
  readonly #isSized: boolean;

  constructor({ maxEntries, maxBytes }: Bounds) {
    this.#isSized = maxBytes > 0;
    this.#entries = new LRUCache({ max: maxEntries, ...(this.#isSized ? { maxSize: maxBytes } : {}) });
  }

  get size(): number {
    return this.#entries.size;
  }

  get bytes(): number {
    return this.#entries.calculatedSize;
  }

  get(id: string): Entry | undefined {
    return this.#entries.get(id);
  }

  peek(id: string): Entry | undefined {
    return this.#entries.peek(id);
  }

  set(id: string, entry: Entry, size = 1): void {
    if (this.#isSized) this.#entries.set(id, entry, { size });
    else this.#entries.set(id, entry);
  }

  delete(id: string): boolean {
    return this.#entries.delete(id);
  }

  clear(): void {
    this.#entries.clear();
  }
}
