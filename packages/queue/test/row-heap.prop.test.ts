import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { HeapOrder } from "../src/memory/indexed-heap.ts";
import { RowHeap } from "../src/memory/row-heap.ts";

interface Item {
  readonly id: number;
  rank: number;
  place: number;
}

const order: HeapOrder<Item> = {
  isBefore: (a, b) => (a.rank === b.rank ? a.id < b.id : a.rank < b.rank),
  placeOf: (item) => item.place,
  setPlace: (item, place) => (item.place = place),
};

const rankOf = fc.nat(30);
const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant("add in order" as const) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("add" as const), rank: rankOf }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("move" as const), which: fc.nat(), rank: rankOf }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("delete" as const), which: fc.nat() }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant("pop" as const) }) },
);

/** Beside a plain list that is sorted again and again. */
class Pair {
  readonly heap = new RowHeap(order);
  readonly list: Item[] = [];
  #added = 0;

  add(rank: number): void {
    const item = { id: (this.#added += 1), rank, place: -1 };
    this.heap.put(item);
    this.list.push(item);
  }

  take(item: Item | undefined): void {
    if (item !== undefined) this.list.splice(this.list.indexOf(item), 1);
  }

  get first(): Item | undefined {
    return this.list.toSorted((a, b) => a.rank - b.rank || a.id - b.id)[0];
  }

  run(what: typeof step extends fc.Arbitrary<infer S> ? S : never): void {
    const { heap, list } = this;
    if (what.do === "add in order") return this.add(Math.max(0, ...list.map(({ rank }) => rank)) + 1);
    if (what.do === "add") return this.add(what.rank);
    if (what.do === "pop") {
      const { first } = this;
      expect(heap.pop()).toBe(first);
      return this.take(first);
    }
    const item = list[what.which % list.length];
    if (item === undefined) return;
    if (what.do === "move") {
      item.rank = what.rank;
      heap.put(item);
    } else {
      heap.delete(item);
      expect(item.place).toBe(-1);
      // A second time nothing happens.
      heap.delete(item);
      this.take(item);
    }
  }

  check(): void {
    expect(this.heap.size).toBe(this.list.length);
    expect(this.heap.peek()).toBe(this.first);
    expect(new Set(this.heap.items())).toEqual(new Set(this.list));
  }
}

describe("RowHeap", () => {
  it("hands out what comes first, whatever is added, moved and taken out", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
        const pair = new Pair();
        for (const each of steps) {
          pair.run(each);
          pair.check();
        }
        while (pair.list.length > 0) pair.run({ do: "pop" });
        expect(pair.heap.pop()).toBeUndefined();
      }),
    );
  });

  it("keeps its order when a row of thousands is thinned out from both ends and between", () => {
    const pair = new Pair();
    for (let rank = 0; rank < 3_000; rank += 1) pair.add(rank);
    for (const item of pair.list.filter(({ rank }) => rank % 7 !== 3)) {
      pair.heap.delete(item);
      pair.take(item);
    }
    pair.add(1_500);
    for (let rank = 3_000; rank < 3_300; rank += 1) pair.add(rank);
    const expected = pair.list.map(({ rank }) => rank).sort((a, b) => a - b);
    const popped: number[] = [];
    for (let item = pair.heap.pop(); item !== undefined; item = pair.heap.pop()) popped.push(item.rank);
    expect(popped).toEqual(expected);
  });

  it("compares each item that comes in order once, and not with half of those that are there", () => {
    let compared = 0;
    const counted = new RowHeap<Item>({
      ...order,
      isBefore: (a, b) => ((compared += 1), order.isBefore(a, b)),
    });
    for (let id = 0; id < 1_000; id += 1) counted.put({ id, rank: id, place: -1 });
    for (let id = 0; id < 1_000; id += 1) counted.pop();
    expect(compared).toBeLessThan(1_000);
  });
});
