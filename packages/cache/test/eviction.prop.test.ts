// Whatever is done to a table: it stays within its bounds, and what it has is what was put there last.
import { seededRandom } from "@holdfast/core";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { entryTable } from "./entry-table.ts";

interface Kept {
  readonly version: number;
  readonly size: number;
}

const id = fc.nat(30).map((number) => `k${number}`);
const step = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({ kind: fc.constant("set" as const), id, size: fc.integer({ min: 1, max: 60 }) }),
  },
  { weight: 8, arbitrary: fc.record({ kind: fc.constant("get" as const), id }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("peek" as const), id }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("delete" as const), id }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("clear" as const), id }) },
);

describe.each(["lru", "w-tinylfu"] as const)("a table with %s", (eviction) => {
  it("is a map that forgets: never over its bounds, never another value than the last, never one that was deleted", () => {
    fc.assert(
      fc.property(
        fc.array(step, { maxLength: 400 }),
        fc.integer({ min: 1, max: 25 }),
        fc.constantFrom(0, 1, 50, 200, 1_000),
        fc.integer(),
        (plan, maxEntries, maxBytes, seed) => {
          const table = entryTable<Kept>({ eviction, maxEntries, maxBytes, random: seededRandom(seed) });
          const last = new Map<string, Kept>();
          let version = 0;
          for (const one of plan) {
            if (one.kind === "set") {
              version += 1;
              const entry = { version, size: one.size };
              table.set(one.id, entry, one.size);
              last.set(one.id, entry);
            } else if (one.kind === "get") expect([undefined, last.get(one.id)]).toContain(table.get(one.id));
            else if (one.kind === "peek") expect(table.peek(one.id)).toBe(table.get(one.id));
            else if (one.kind === "delete") {
              const was = table.peek(one.id) !== undefined;
              expect(table.delete(one.id)).toBe(was);
              last.delete(one.id);
            } else {
              table.clear();
              last.clear();
            }
            const there = [...last].filter(([name]) => table.peek(name) !== undefined);
            for (const [name, entry] of there) expect(table.peek(name)).toBe(entry);
            // Everything that it counts is found, and everything that is found is counted.
            expect(table.size).toBe(there.length);
            expect(table.size).toBeLessThanOrEqual(maxEntries);
            if (maxBytes > 0) {
              expect(table.bytes).toBe(there.reduce((sum, [, { size }]) => sum + size, 0));
              expect(table.bytes).toBeLessThanOrEqual(maxBytes);
            }
          }
        },
      ),
      { numRuns: 300 },
    );
  });

  it("forgets nothing while there is room for everything", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 300 }), fc.boolean(), (plan, isSized) => {
        const table = entryTable<Kept>({ eviction, maxEntries: 31, maxBytes: isSized ? 31 * 60 : 0 });
        const last = new Map<string, Kept>();
        for (const [version, one] of plan.entries()) {
          if (one.kind === "set") {
            table.set(one.id, { version, size: one.size }, one.size);
            last.set(one.id, { version, size: one.size });
          } else if (one.kind === "delete") expect(table.delete(one.id)).toBe(last.delete(one.id));
          else if (one.kind === "clear") {
            table.clear();
            last.clear();
          } else expect(table.get(one.id)).toEqual(last.get(one.id));
        }
        expect(table.size).toBe(last.size);
      }),
      { numRuns: 300 },
    );
  });
});
