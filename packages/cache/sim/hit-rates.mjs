// Hit rates of the tables on the traces, beside the optimum.
import { seededRandom } from "@holdfast/core";
import { optimalHits } from "./optimum.mjs";

import { sieveTable } from "./sieve.mjs";
import { TRACES } from "./traces.mjs";

/** Entries that a cache has room for. */
export const SIZES = [200, 1_000, 4_000];

export const POLICIES = ["LRU", "SIEVE", "W-TinyLFU", "optimum"];

/** Changes nothing but the numbers. */
const SEED = 20_261_121;

/**
 * @typedef {object} Measured
 * @property {string} trace
 * @property {number} size
 * @property {Record<string, number>} rates - Shares of requests that are hits, by policy.
 *
 * @param {(options: any) => any} entryTable - Of the package.
 * @returns {readonly Measured[]}
 */
export function measureHitRates(entryTable) {
  return TRACES.flatMap(({ name, make }, index) =>
    SIZES.map((size) => {
      const trace = make(size, seededRandom(SEED + index));
      const bounds = { maxEntries: size, maxBytes: 0, random: seededRandom(SEED) };
      const rate = (hits) => hits / trace.length;
      return {
        trace: name,
        size,
        rates: {
          LRU: rate(hitsOf(entryTable({ ...bounds, eviction: "lru" }), trace)),
          SIEVE: rate(hitsOf(sieveTable(bounds), trace)),
          "W-TinyLFU": rate(hitsOf(entryTable({ ...bounds, eviction: "w-tinylfu" }), trace)),
          optimum: rate(optimalHits(trace, size)),
        },
      };
    }),
  );
}

const ENTRY = {};

function hitsOf(table, trace) {
  let hits = 0;
  for (const key of trace) {
    const id = `key:${key}`;
    if (table.get(id) === undefined) table.set(id, ENTRY);
    else hits += 1;
  }
  return hits;
}
