import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Queued } from "../src/scheduler/mixed-queue.ts";
import { MixedQueue } from "../src/scheduler/mixed-queue.ts";
import { ModelQueue } from "../src/scheduler/model-queue.ts";
import { TenantLedger } from "../src/scheduler/tenants.ts";

/** Small ranges, so that much is equal; `behind` goes behind what is there more often than not. */
const arrival = fc.record({
  does: fc.constant("add" as const),
  tenant: fc.constantFrom("", "", "", "other"),
  priority: fc.constantFrom(0, 0, 0, 0, 1),
  behind: fc.boolean(),
  level: fc.constantFrom(0, 0, 0, 1),
  deadline: fc.constantFrom(10, 20, 30, Infinity),
  leastMs: fc.constantFrom(1, 15),
});
const step = fc.oneof(
  { weight: 3, arbitrary: arrival },
  {
    weight: 2,
    arbitrary: fc.record({ does: fc.constantFrom("take" as const, "remove" as const), at: fc.nat(9) }),
  },
  { weight: 1, arbitrary: fc.record({ does: fc.constant("delay" as const), at: fc.nat(9) }) },
  {
    weight: 1,
    arbitrary: fc.record({ does: fc.constantFrom("charge" as const, "again" as const), at: fc.nat(9) }),
  },
);

const byTurn = (a: Queued, b: Queued): number =>
  a.level - b.level || compare(a.request.deadline, b.request.deadline) || a.order - b.order;
const byWake = (a: Queued, b: Queued): number => compare(a.wakeAt, b.wakeAt) || a.order - b.order;
const compare = (a: number, b: number): number => (a === b ? 0 : a < b ? -1 : 1);

/** What waits, once for each queue. */
interface Twin {
  readonly mine: Queued;
  readonly other: Queued;
}

describe("ModelQueue", () => {
  it("answers what a MixedQueue answers, and what sorting does while there is one tenant", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const ledger = new TenantLedger(() => 1);
        const queue = new ModelQueue<Queued>(ledger);
        const mixed = new MixedQueue<Queued>(ledger);
        let waiting: Twin[] = [];
        const gone: Twin[] = [];
        const add = (twin: Twin): void => {
          queue.add(twin.mine);
          mixed.add(twin.other);
          waiting.push(twin);
        };
        let last = { level: 0, deadline: 0 };
        const remove = (twin: Twin): void => {
          queue.remove(twin.mine);
          mixed.remove(twin.other);
          waiting = waiting.filter((one) => one !== twin);
          gone.push(twin);
        };
        for (const [order, one] of steps.entries()) {
          if (one.does === "add") {
            const level = one.behind ? Math.max(last.level, one.level) : one.level;
            const deadline = one.behind ? Math.max(last.deadline, one.deadline) : one.deadline;
            last = { level, deadline };
            const entry = (): Queued => ({
              request: { priority: one.priority, deadline },
              level,
              order,
              size: 1 + (order % 3),
              tenant: ledger.tenant(one.tenant),
              wakeAt: deadline - one.leastMs,
              lanePlace: -1,
              wakePlace: -1,
            });
            add({ mine: entry(), other: entry() });
          } else if (one.does === "charge") {
            ledger.charge(ledger.tenant(one.at < 7 ? "" : "other"), 40 * one.at);
          } else if (one.does === "again") {
            const twin = gone.pop();
            if (twin !== undefined) add(twin);
          } else if (waiting.length > 0) {
            const twin =
              one.does === "remove"
                ? waiting[one.at % waiting.length]!
                : waiting.find(
                    ({ mine }) => mine === (one.does === "take" ? queue.first : queue.firstToWake),
                  );
            if (twin === undefined) expect(waiting.every(({ mine }) => mine.wakeAt === Infinity)).toBe(true);
            else if (one.does !== "delay") remove(twin);
            else {
              const at = twin.mine.wakeAt + one.at;
              queue.wakeAt(twin.mine, at);
              mixed.wakeAt(twin.other, at);
            }
          }
          const entries = waiting.map(({ mine }) => mine);
          expect(queue.first?.order).toBe(mixed.first?.order);
          expect(queue.firstToWake?.order).toBe(mixed.firstToWake?.order);
          expect(queue.isUniform).toBe(new Set(entries.map(({ request }) => request.priority)).size < 2);
          expect(queue.size).toBe(entries.length);
          expect(queue.units).toBe(entries.reduce((sum, { size }) => sum + size, 0));
          const wakes = entries.filter(({ wakeAt }) => wakeAt < Infinity).sort(byWake);
          expect(queue.firstToWake).toBe(wakes[0]);
          if (new Set(entries.map(({ tenant }) => tenant)).size < 2)
            expect(queue.first).toBe(entries.toSorted(byTurn)[0]);
        }
      }),
      { numRuns: 2_000 },
    );
  });
});
