import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { RankHeap } from "../src/scheduler/rank-heap.ts";

interface Item {
  readonly id: number;
  rank: readonly [level: number, at: number];
}

const step = fc.record({
  id: fc.nat(40),
  rank: fc.tuple(fc.nat(2), fc.constantFrom(-Infinity, 0, 1.5, 2, 7, Infinity)),
  takes: fc.boolean(),
});

describe("RankHeap", () => {
  it("has the lowest level, time and order first whatever is put in, moved and taken out", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const items = Array.from({ length: 41 }, (_, id): Item => ({ id, rank: [0, 0] }));
        const heap = new RankHeap<Item>(({ id }) => id);
        const inside = new Set<Item>();
        for (const { id, rank, takes } of steps) {
          const item = items[id]!;
          if (takes) {
            expect(heap.remove(item)).toBe(inside.delete(item));
          } else {
            item.rank = rank;
            heap.put(item, ...rank, id);
            inside.add(item);
          }
          const [lowest] = [...inside].toSorted((a, b) => byRank(a, b));
          expect([heap.size, heap.first, heap.has(item)]).toEqual([inside.size, lowest, inside.has(item)]);
          expect(heap.firstAt).toBe(lowest?.rank[1] ?? Infinity);
        }
      }),
    );
  });
});

function byRank(a: Item, b: Item): number {
  const before = [a.rank[0] - b.rank[0], a.rank[1] === b.rank[1] ? 0 : a.rank[1] - b.rank[1], a.id - b.id];
  return before.find((difference) => difference !== 0) ?? 0;
}
