// The tables of the memory tier, and the page that compares them.
import { readFileSync } from "node:fs";
import { seededRandom } from "@holdfast/core";
import { format, resolveConfig } from "prettier";
import { describe, expect, it } from "vitest";
import { hitRateChart } from "../sim/chart.mjs";
import { measureHitRates } from "../sim/hit-rates.mjs";
import { optimalHits } from "../sim/optimum.mjs";
import { hitRatePage } from "../sim/page.mjs";
import type { EvictionName } from "./entry-table.ts";
import { entryTable } from "./entry-table.ts";
import { FrequencySketch, hashOf } from "../src/eviction/frequency-sketch.ts";

interface Measured {
  readonly trace: string;
  readonly size: number;
  readonly rates: Readonly<Record<string, number>>;
}

const tableOf = (eviction: EvictionName, maxEntries: number, maxBytes = 0) =>
  entryTable<{ readonly id: string }>({ eviction, maxEntries, maxBytes, random: seededRandom(1) });

describe.each(["lru", "w-tinylfu"] as const)("a table with %s", (eviction) => {
  it("keeps one entry where there is room for one, the latest", () => {
    const table = tableOf(eviction, 1);
    for (const id of ["a", "b", "c"]) table.set(id, { id });
    expect([table.peek("a"), table.peek("b"), table.peek("c")?.id]).toEqual([undefined, undefined, "c"]);
  });

  it("does not keep what is larger than all of it, nor what that would have replaced", () => {
    const table = tableOf(eviction, 10, 100);
    table.set("a", { id: "a" }, 40);
    table.set("b", { id: "b" }, 101);
    expect([table.size, table.bytes, table.peek("b")]).toEqual([1, 40, undefined]);
    table.set("a", { id: "a" }, 101);
    expect([table.size, table.bytes]).toEqual([0, 0]);
  });

  it("lets others go when one grows", () => {
    const table = tableOf(eviction, 10, 100);
    for (const id of ["a", "b", "c", "d"]) table.set(id, { id }, 25);
    table.set("a", { id: "a" }, 70);
    expect(table.bytes).toBeLessThanOrEqual(100);
    expect(table.size).toBeLessThan(4);
  });

  it("is empty after a clear, and works on", () => {
    const table = tableOf(eviction, 10, 100);
    for (let at = 0; at < 20; at += 1) table.set(`k${at}`, { id: `k${at}` }, 10);
    table.clear();
    expect([table.size, table.bytes, table.get("k19")]).toEqual([0, 0, undefined]);
    table.set("a", { id: "a" }, 10);
    expect([table.size, table.bytes, table.delete("a"), table.delete("a")]).toEqual([1, 10, true, false]);
  });

  it("takes names of Object.prototype for keys like any other", () => {
    const table = tableOf(eviction, 10);
    expect(table.get("__proto__")).toBeUndefined();
    table.set("__proto__", { id: "p" });
    table.set("constructor", { id: "c" });
    expect([table.get("__proto__")?.id, table.get("constructor")?.id, table.size]).toEqual(["p", "c", 2]);
  });
});

describe("W-TinyLFU", () => {
  it("keeps a hot set through a scan ten times its room; LRU loses all of it", () => {
    const kept = (eviction: EvictionName): number => {
      const table = tableOf(eviction, 100);
      const hot = Array.from({ length: 60 }, (_, at) => `hot${at}`);
      for (let round = 0; round < 10; round += 1)
        for (const id of hot) if (table.get(id) === undefined) table.set(id, { id });
      for (let at = 0; at < 1_000; at += 1) table.set(`scan${at}`, { id: `scan${at}` });
      return hot.filter((id) => table.peek(id) !== undefined).length;
    };
    expect(kept("w-tinylfu")).toBeGreaterThanOrEqual(58);
    expect(kept("lru")).toBe(0);
  });

  it("forgets what was popular long ago", () => {
    const table = tableOf("w-tinylfu", 100);
    const use = (name: string, rounds: number): void => {
      for (let round = 0; round < rounds; round += 1)
        for (let at = 0; at < 100; at += 1)
          if (table.get(`${name}${at}`) === undefined) table.set(`${name}${at}`, { id: name });
    };
    use("old", 100);
    use("new", 100);
    const kept = Array.from({ length: 100 }, (_, at) => table.peek(`new${at}`)).filter(
      (entry) => entry !== undefined,
    );
    expect(kept.length).toBeGreaterThan(80);
  });

  it("does not let a large entry that is seldom asked for drive many small ones out", () => {
    const table = tableOf("w-tinylfu", 1_000, 1_000);
    for (let round = 0; round < 5; round += 1)
      for (let at = 0; at < 90; at += 1)
        if (table.get(`small${at}`) === undefined) table.set(`small${at}`, { id: "s" }, 10);
    for (let at = 0; at < 50; at += 1) table.set(`large${at}`, { id: "l" }, 500);
    const small = Array.from({ length: 90 }, (_, at) => table.peek(`small${at}`)).filter(
      (entry) => entry !== undefined,
    );
    expect(small.length).toBeGreaterThan(85);
  });

  it("is not shut by one key that is asked for all the time", () => {
    const table = tableOf("w-tinylfu", 2);
    table.set("a", { id: "a" });
    for (let at = 0; at < 100; at += 1) table.get("a");
    table.set("b", { id: "b" });
    expect(table.get("b")?.id).toBe("b");
  });
});

describe("the sketch", () => {
  it("never tells less than was counted, up to fifteen, also after it has grown", () => {
    const sketch = new FrequencySketch();
    const counts = new Map<number, number>();
    const random = seededRandom(3);
    for (let at = 0; at < 500; at += 1) {
      const hash = hashOf(`key:${Math.floor(random() * 50)}`, 7);
      sketch.add(hash);
      counts.set(hash, (counts.get(hash) ?? 0) + 1);
      if (at === 250) sketch.grow(1_000);
    }
    for (const [hash, count] of counts)
      expect(sketch.estimate(hash)).toBeGreaterThanOrEqual(Math.min(15, count));
    expect(sketch.estimate(hashOf("never", 7))).toBeLessThan(3);
  });

  it("halves its counts again and again", () => {
    const sketch = new FrequencySketch();
    const hash = hashOf("old", 7);
    for (let at = 0; at < 15; at += 1) sketch.add(hash);
    for (let at = 0; at < 3_000; at += 1) sketch.add(hashOf(`other:${at}`, 7));
    expect(sketch.estimate(hash)).toBeLessThan(8);
  });
});

describe("the optimum", () => {
  it("is what trying everything finds, on short traces", () => {
    const random = seededRandom(11);
    for (let round = 0; round < 200; round += 1) {
      const trace = Int32Array.from({ length: 10 }, () => Math.floor(random() * 5));
      const size = 1 + Math.floor(random() * 3);
      expect(optimalHits(trace, size)).toBe(bestHits(trace, size));
    }
  });
});

describe("docs/cache-hit-rates.md", () => {
  it("and its picture are what the tables measure", async () => {
    const measured = measureHitRates(entryTable) as readonly Measured[];
    const docs = new URL("../../../docs/", import.meta.url);
    const committed = (file: string): string => readFileSync(new URL(file, docs), "utf8");
    const config = await resolveConfig(new URL("cache-hit-rates.md", docs));
    const page = await format(hitRatePage(measured), { ...config, parser: "markdown" });
    expect(committed("cache-hit-rates.md") === page, "run `node packages/cache/sim/cli.mjs`").toBe(true);
    expect(committed("cache/hit-rates.svg") === hitRateChart(measured)).toBe(true);
    const mean = (policy: string): number =>
      measured.reduce((sum, { rates }) => sum + rates[policy]!, 0) / measured.length;
    expect(mean("W-TinyLFU")).toBeGreaterThan(mean("SIEVE"));
    expect(mean("SIEVE")).toBeGreaterThan(mean("LRU"));
    for (const { rates } of measured)
      for (const policy of ["LRU", "SIEVE", "W-TinyLFU"])
        expect(rates[policy]).toBeLessThanOrEqual(rates["optimum"]!);
  }, 60_000);
});

/** By trying all: after each request, any of the keys may be the one that is not kept. */
function bestHits(trace: Int32Array, size: number): number {
  const from = (at: number, kept: readonly number[]): number => {
    if (at === trace.length) return 0;
    const key = trace[at]!;
    if (kept.includes(key)) return 1 + from(at + 1, kept);
    const all = [...kept, key];
    if (all.length <= size) return from(at + 1, all);
    return Math.max(
      ...all.map((gone) =>
        from(
          at + 1,
          all.filter((other) => other !== gone),
        ),
      ),
    );
  };
  return from(0, []);
}
