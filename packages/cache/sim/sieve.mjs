// SIEVE (Zhang et al., NSDI 2024), which was measured and not taken: see docs/adr.

/**
 * A table as in `src/eviction/table.ts`, without a bound on bytes.
 *
 * @param {{ maxEntries: number }} bounds
 */
export function sieveTable({ maxEntries }) {
  /** @type {Map<string, any>} */
  const nodes = new Map();
  let newest;
  let oldest;
  /** Where the last one was let go: goes from old to new, again and again. */
  let hand;

  const evict = () => {
    let node = hand ?? oldest;
    while (node.isVisited) {
      node.isVisited = false;
      node = node.newer ?? oldest;
    }
    hand = node.newer;
    remove(node);
  };
  const remove = (node) => {
    if (hand === node) hand = node.newer;
    if (node.newer === undefined) newest = node.older;
    else node.newer.older = node.older;
    if (node.older === undefined) oldest = node.newer;
    else node.older.newer = node.newer;
    nodes.delete(node.id);
  };

  return {
    get(id) {
      const node = nodes.get(id);
      if (node === undefined) return undefined;
      node.isVisited = true;
      return node.entry;
    },
    set(id, entry) {
      if (nodes.size >= maxEntries) evict();
      const node = { id, entry, isVisited: false, newer: undefined, older: newest };
      if (newest === undefined) oldest = node;
      else newest.newer = node;
      newest = node;
      nodes.set(id, node);
    },
    get size() {
      return nodes.size;
    },
  };
}
