// Entries in the order of their last use.

/** One entry of a table; it stands in one segment. */
export interface Node<Entry> {
  readonly id: string;
  readonly hash: number;
  entry: Entry;
  bytes: number;
  segment: Segment<Entry> | undefined;
  newer: Node<Entry> | undefined;
  older: Node<Entry> | undefined;
}

/** A list from the newest to the oldest, linked through its nodes. */
export class Segment<Entry> {
  size = 0;
  bytes = 0;
  newest: Node<Entry> | undefined;
  oldest: Node<Entry> | undefined;

  /** Puts one that stands nowhere before all others. */
  add(node: Node<Entry>): void {
    node.segment = this;
    node.newer = undefined;
    node.older = this.newest;
    if (this.newest === undefined) this.oldest = node;
    else this.newest.newer = node;
    this.newest = node;
    this.size += 1;
    this.bytes += node.bytes;
  }

  remove(node: Node<Entry>): void {
    const { newer, older } = node;
    if (newer === undefined) this.newest = older;
    else newer.older = older;
    if (older === undefined) this.oldest = newer;
    else older.newer = newer;
    node.segment = undefined;
    this.size -= 1;
    this.bytes -= node.bytes;
  }

  /** Puts one of its own before all others. */
  renew(node: Node<Entry>): void {
    if (this.newest === node) return;
    this.remove(node);
    this.add(node);
  }

  clear(): void {
    this.size = 0;
    this.bytes = 0;
    this.newest = undefined;
    this.oldest = undefined;
  }
}
