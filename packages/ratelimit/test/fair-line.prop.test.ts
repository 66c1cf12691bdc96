import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Place } from "../src/waiting/fair-line.ts";
import { FairLine } from "../src/waiting/fair-line.ts";

const tenant = fc.constantFrom("a", "b", "c", "d");

describe("FairLine", () => {
  it("keeps a tenant's order, loses nobody, and serves by lowest tag, however they come and go", () => {
    const step = fc.oneof(
      {
        weight: 4,
        arbitrary: fc.record({
          kind: fc.constant("join" as const),
          tenant,
          effort: fc.integer({ min: 1, max: 9 }),
        }),
      },
      { weight: 2, arbitrary: fc.record({ kind: fc.constant("serve" as const) }) },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant("leave" as const), index: fc.nat(50) }) },
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (plan) => {
        const line = new FairLine<number>();
        let waiting: Place<number>[] = [];
        const servedOf = new Map<string, number>();
        let joined = 0;
        for (const one of plan) {
          if (one.kind === "join") waiting.push(line.join((joined += 1), one.tenant, one.effort));
          else if (one.kind === "leave") {
            const place = waiting[one.index % Math.max(1, waiting.length)];
            if (place === undefined) continue;
            line.leave(place);
            line.leave(place);
            waiting = waiting.filter((other) => other !== place);
          } else {
            const first = line.first;
            expect(first === undefined).toBe(waiting.length === 0);
            if (first === undefined) continue;
            for (const { tag } of waiting) expect(first.tag).toBeLessThanOrEqual(tag);
            expect(first.item).toBeGreaterThan(servedOf.get(first.tenant) ?? 0);
            servedOf.set(first.tenant, first.item);
            line.serve(first);
            waiting = waiting.filter((other) => other !== first);
          }
          expect(line.size).toBe(waiting.length);
        }
      }),
      { numRuns: 500 },
    );
  });

  it("gives tenants that always wait what their weight says, give or take two of the largest efforts", () => {
    const weights = fc.dictionary(tenant, fc.integer({ min: 1, max: 5 }), { minKeys: 2 });
    fc.assert(
      fc.property(
        weights,
        fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 20 }),
        (shares, efforts) => {
          const line = new FairLine<{ readonly effort: number }>();
          const served = new Map<string, number>();
          let turn = 0;
          const join = (name: string): void => {
            const effort = efforts[(turn += 1) % efforts.length]!;
            line.join({ effort }, name, effort / shares[name]!);
          };
          for (const name of Object.keys(shares)) for (let depth = 0; depth < 3; depth += 1) join(name);
          for (let round = 0; round < 400; round += 1) {
            const first = line.first!;
            served.set(first.tenant, (served.get(first.tenant) ?? 0) + first.item.effort);
            line.serve(first);
            join(first.tenant);
          }
          const normalized = Object.entries(shares).map(([name, share]) => (served.get(name) ?? 0) / share);
          expect(Math.max(...normalized) - Math.min(...normalized)).toBeLessThanOrEqual(
            2 * Math.max(...efforts),
          );
        },
      ),
      { numRuns: 200 },
    );
  });
});
