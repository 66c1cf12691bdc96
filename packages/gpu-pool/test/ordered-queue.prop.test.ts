import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { OrderedQueue } from "../src/scheduler/ordered-queue.ts";

interface Item {
  readonly id: number;
  rank: number;
  place: number;
}

const make = (): OrderedQueue<Item> =>
  new OrderedQueue<Item>((a, b) => (a.rank === b.rank ? a.id < b.id : a.rank < b.rank), {
    of: ({ place }) => place,
    set: (item, at) => void (item.place = at),
  });

const step = fc.oneof(
  fc.record({ does: fc.constant("push" as const), ahead: fc.nat(3) }),
  fc.record({ does: fc.constant("put" as const), id: fc.nat(60), rank: fc.nat(80) }),
  fc.record({ does: fc.constant("take" as const), id: fc.nat(60) }),
  fc.record({ does: fc.constant("next" as const) }),
);

describe("OrderedQueue", () => {
  it("has the lowest item first, whether items come in order or push in, change rank, leave early or go", () => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 30, maxLength: 400 }), (steps) => {
        const items = Array.from({ length: 61 }, (_, id): Item => ({ id, rank: 0, place: -1 }));
        const queue = make();
        const inside = new Set<Item>();
        const put = (item: Item, rank: number): void => {
          item.rank = rank;
          queue.put(item);
          inside.add(item);
        };
        let clock = 0;
        for (const one of steps) {
          if (one.does === "push") {
            const next = items.find((item) => !inside.has(item));
            clock += one.ahead;
            if (next !== undefined) put(next, clock);
          } else if (one.does === "put") put(items[one.id]!, one.rank);
          else {
            const leaver = one.does === "take" ? items[one.id]! : queue.first;
            if (leaver !== undefined) queue.remove(leaver);
            if (leaver !== undefined) inside.delete(leaver);
          }
          const lowest = [...inside].toSorted((a, b) => a.rank - b.rank || a.id - b.id)[0];
          expect([queue.size, queue.first]).toEqual([inside.size, lowest]);
        }
      }),
    );
  });

  it("keeps no gaps for those who leave behind one that stays", () => {
    const queue = make();
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
