import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { IndexedHeap } from "../src/collections/indexed-heap.ts";

interface Item {
  readonly id: number;
  rank: number;
  place: number;
}

const step = fc.record({ id: fc.nat(20), rank: fc.nat(50), takes: fc.boolean() });

describe("IndexedHeap", () => {
  it("has the lowest item first whatever is put in, moved and taken out", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const items = Array.from({ length: 21 }, (_, id): Item => ({ id, rank: 0, place: -1 }));
        const heap = new IndexedHeap<Item>((a, b) => (a.rank === b.rank ? a.id < b.id : a.rank < b.rank), {
          of: ({ place }) => place,
          set: (item, at) => void (item.place = at),
        });
        const inside = new Set<Item>();
        for (const { id, rank, takes } of steps) {
          const item = items[id]!;
          if (takes) {
            expect(heap.remove(item)).toBe(inside.delete(item));
          } else {
            item.rank = rank;
            heap.put(item);
            inside.add(item);
          }
          const lowest = [...inside].toSorted((a, b) => a.rank - b.rank || a.id - b.id)[0];
          expect([heap.size, heap.first]).toEqual([inside.size, lowest]);
        }
      }),
    );
  });
});
