import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { OrderedQueue } from "../src/collections/ordered-queue.ts";

interface Item {
  readonly id: number;
  rank: number;
  place: number;
}

const isBefore = (a: Item, b: Item): boolean => (a.rank === b.rank ? a.id < b.id : a.rank < b.rank);

function ordered(compare = isBefore): OrderedQueue<Item> {
  return new OrderedQueue<Item>(compare, {
    of: ({ place }) => place,
    set: (item, at) => void (item.place = at),
  });
}

const rankOf = fc.nat(30);
const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant("add in order" as const) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("add" as const), rank: rankOf }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("move" as const), which: fc.nat(), rank: rankOf }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("remove" as const), which: fc.nat() }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant("take" as const) }) },
);

/** Beside a plain list that is sorted again and again. */
class Pair {
  readonly queue = ordered();
  readonly list: Item[] = [];
  #added = 0;

  add(rank: number): void {
    const item = { id: (this.#added += 1), rank, place: -1 };
    this.queue.put(item);
    this.list.push(item);
  }

  remove(item: Item): void {
    expect(this.queue.remove(item)).toBe(true);
    expect(item.place).toBe(-1);
    expect(this.queue.remove(item)).toBe(false);
    this.list.splice(this.list.indexOf(item), 1);
  }

  run(what: typeof step extends fc.Arbitrary<infer S> ? S : never): void {
    const { queue, list } = this;
    if (what.do === "add in order") return this.add(Math.max(0, ...list.map(({ rank }) => rank)) + 1);
    if (what.do === "add") return this.add(what.rank);
    const item = what.do === "take" ? queue.first : list[what.which % list.length];
    if (item === undefined) return;
    if (what.do !== "move") return this.remove(item);
    item.rank = what.rank;
    queue.put(item);
  }

  check(): void {
    expect(this.queue.size).toBe(this.list.length);
    expect(this.queue.first).toBe(this.list.toSorted((a, b) => (isBefore(a, b) ? -1 : 1))[0]);
    expect(new Set(this.queue.items())).toEqual(new Set(this.list));
  }
}

describe("OrderedQueue", () => {
  it("has the item first that goes before all others, whatever is added, moved and taken out", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
        const pair = new Pair();
        for (const each of steps) {
          pair.run(each);
          pair.check();
        }
        while (pair.list.length > 0) {
          pair.run({ do: "take" });
          pair.check();
        }
      }),
    );
  });

  it("keeps its order when a row of thousands is thinned out from both ends and between", () => {
    const pair = new Pair();
    for (let rank = 0; rank < 3_000; rank += 1) pair.add(rank);
    for (const item of pair.list.filter(({ rank }) => rank % 7 !== 3)) pair.remove(item);
    pair.add(1_500);
    for (let rank = 3_000; rank < 3_300; rank += 1) pair.add(rank);
    const expected = pair.list.map(({ rank }) => rank).sort((a, b) => a - b);
    const taken: number[] = [];
    for (let { first } = pair.queue; first !== undefined; { first } = pair.queue) {
      taken.push(first.rank);
      pair.remove(first);
    }
    expect(taken).toEqual(expected);
  });

  it("compares each item that comes in order once, and not with half of those that are there", () => {
    let compared = 0;
    const queue = ordered((a, b) => ((compared += 1), isBefore(a, b)));
    for (let id = 0; id < 1_000; id += 1) queue.put({ id, rank: id, place: -1 });
    for (let { first } = queue; first !== undefined; { first } = queue) queue.remove(first);
    expect(compared).toBeLessThan(1_000);
  });

  it("keeps no gaps for those who leave behind one that stays", () => {
    const queue = ordered();
    queue.put({ id: 0, rank: 0, place: -1 });
    let previous: Item = { id: 1, rank: 1, place: -1 };
    queue.put(previous);
    // How far from the beginning of the row an item stood.
    let longest = 0;
    for (let id = 2; id < 10_000; id += 1) {
      const next = { id, rank: id, place: -1 };
      queue.put(next);
      queue.remove(previous);
      previous = next;
      longest = Math.max(longest, -2 - next.place);
    }
    expect([queue.size, queue.first?.id]).toEqual([2, 0]);
    expect(longest).toBeLessThan(100);
  });
});
