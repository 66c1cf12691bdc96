// What the memory tier keeps its entries in: a map that stays within bounds.
import type { Random } from "@holdfast/core";

export interface TableBounds {
  /** Most entries, from 1. */
  readonly maxEntries: number;
  /** Most bytes of all entries together; 0: no such bound, and sizes are not counted. */
  readonly maxBytes: number;
  /** @defaultValue systemRandom */
  readonly random?: Random;
}

/**
 * Entries by their texts, never more than its bounds allow. Every operation takes the same time on average, however many
 * there are.
 */
export interface EntryTable<Entry> {
  /** Entries that are there. */
  readonly size: number;
  /** Their sizes together; 0 where there is no bound on bytes. */
  readonly bytes: number;
  /** The entry; it counts as used. */
  get(id: string): Entry | undefined;
  /** The entry; it does not count as used. */
  peek(id: string): Entry | undefined;
  /**
   * Keeps it, and lets go of others or of this one where there is no room. One that is larger than the whole table is not
   * kept, nor what was there before it.
   *
   * @param size - In bytes, an integer from 1. @defaultValue 1
   */
  set(id: string, entry: Entry, size?: number): void;
  /** @returns whether it was there. */
  delete(id: string): boolean;
  clear(): void;
}
